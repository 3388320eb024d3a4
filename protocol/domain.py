"""The EIP-712 domain of one market on one chain, and the unit its money is counted in."""

from dataclasses import dataclass
from functools import lru_cache

from protocol.abi import address_word, uint_word
from protocol.digest import keccak

# One UNIT of an ether market is one gwei; all amounts in storage, requests and events are whole UNITs.
UNIT_WEI = 10**9
ETHER_UNITS = 10**18 // UNIT_WEI

NAME = "Quern InferenceMarket"
VERSION = "1"
DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


@dataclass(frozen=True, slots=True)
class Domain:
    """chain_id and the market's EIP-55 address: what keeps a signature of one market out of every other."""

    chain_id: int
    market: str


@lru_cache(maxsize=64)
def separator(domain: Domain) -> bytes:
    """EIP-712 domain separator."""
    return keccak(
        keccak(DOMAIN_TYPE.encode())
        + keccak(NAME.encode())
        + keccak(VERSION.encode())
        + uint_word(domain.chain_id)
        + address_word(domain.market)
    )


def typed_digest(domain: Domain, struct_hash: bytes) -> bytes:
    """EIP-712 digest of a struct under the domain."""
    return keccak(b"\x19\x01" + separator(domain) + struct_hash)
