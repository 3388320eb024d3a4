"""ABI words by hand: everything hashed here is fixed-width, and a general encoder costs ten times as much."""

from functools import lru_cache

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from protocol.errors import BadInput

WORD_BYTES = 32
ZERO_ADDRESS = "0x" + "0" * 40


class BadAddress(BadInput):
    """Not a 20-byte hex address, or one whose checksum (EIP-55) does not hold."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(
            "ADDRESS-001", field, value, "give 0x and 40 hex digits; mixed case must be the EIP-55 checksum"
        )


def uint_word(value: int) -> bytes:
    return value.to_bytes(WORD_BYTES, "big")


@lru_cache(maxsize=65_536)
def address_word(address: str) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


@lru_cache(maxsize=65_536)
def checksum_address(raw: bytes) -> str:
    """EIP-55 text of 20 bytes; cached, for it costs a hash and every event carries one."""
    return to_checksum_address(raw)


def parse_address(field: str, value: object) -> str:
    """EIP-55 form of an address a person or a file gave. Raises BadAddress."""
    found = _checksummed(value) if isinstance(value, str) else None
    if found is None:
        raise BadAddress(field, value)
    return found


@lru_cache(maxsize=65_536)
def _checksummed(value: str) -> str | None:
    if not value.startswith("0x") or not is_hex_address(value):
        return None
    digits = value[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(value):
        return None
    return to_checksum_address(value)
