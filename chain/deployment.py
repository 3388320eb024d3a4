"""Which market, on which chain: the file a deployment leaves, and the check that it still holds."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from chain.files import replace_file
from chain.rpc import Rpc, StaleHead
from protocol.abi import ZERO_ADDRESS, parse_address
from protocol.currency import ETHER, Currency
from protocol.digest import JsonValue, canonical_json, from_hex, keccak, parse_json, to_hex
from protocol.domain import Domain
from protocol.errors import BadInput, NotYet
from protocol.parameters import Parameters

FILE_VERSION = 2
_MAX_FILE_BYTES = 64 * 1024
_PARAMETER_ADDRESSES = ("arbiter", "token")


class NoDeployment(NotYet):
    """No deployment file where one is expected."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "CHAIN-010", "deployment", str(path), "start a chain with `quern devnet up`, or name a file"
        )


class BadDeployment(BadInput):
    """A deployment file that is not one."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__("CHAIN-011", f"deployment {field}", value, "deploy again, or name another file")


class WrongChain(BadInput):
    """The node serves another chain than the deployment's."""

    def __init__(self, found: int, wanted: int) -> None:
        super().__init__(
            "CHAIN-012", "chain id", found, f"the deployment is on chain {wanted}; use its RPC address"
        )


class ChainReset(BadInput):
    """Same chain id, but not the chain the deployment was made on: the devnet was started anew."""

    def __init__(self, field: str, value: object) -> None:
        fix = "the chain was reset since the deployment; run `quern devnet down`, then `quern devnet up`"
        super().__init__("CHAIN-013", field, value, fix)


class ArbiterKind(StrEnum):
    """What kind of contract rules on disputes."""

    PANEL = "panel"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Addresses in EIP-55 form. `block_number` is the first block worth reading events from."""

    chain_id: int
    genesis_hash: bytes
    rpc_url: str
    market: str
    registry: str
    lens: str
    market_code_hash: bytes
    block_number: int
    parameters: Parameters
    arbiter_kind: ArbiterKind = ArbiterKind.PANEL
    currency: Currency = ETHER

    @property
    def arbiter(self) -> str:
        return self.parameters.arbiter

    @property
    def domain(self) -> Domain:
        return Domain(self.chain_id, self.market)


def save(deployment: Deployment, path: Path) -> None:
    """Written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value: dict[str, JsonValue] = {
        "quern": FILE_VERSION,
        "chain_id": deployment.chain_id,
        "genesis_hash": to_hex(deployment.genesis_hash),
        "rpc_url": deployment.rpc_url,
        "market": deployment.market,
        "registry": deployment.registry,
        "lens": deployment.lens,
        "market_code_hash": to_hex(deployment.market_code_hash),
        "block_number": deployment.block_number,
        "parameters": asdict(deployment.parameters),
        "arbiter_kind": deployment.arbiter_kind.value,
        "currency": {"symbol": deployment.currency.symbol, "decimals": deployment.currency.decimals},
    }
    replace_file(path, canonical_json(value) + b"\n")


def load(path: Path) -> Deployment:
    """Raises NoDeployment, BadDeployment."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NoDeployment(path) from error
    except OSError as error:
        raise BadDeployment("file", str(error)) from error
    try:
        match parse_json("deployment", data, max_bytes=_MAX_FILE_BYTES):
            case {
                "quern": 2,
                "chain_id": int(chain_id),
                "genesis_hash": genesis_hash,
                "rpc_url": str(rpc_url),
                "market": market,
                "registry": registry,
                "lens": lens,
                "market_code_hash": market_code_hash,
                "block_number": int(block_number),
                "parameters": dict(parameters),
                "arbiter_kind": str(arbiter_kind),
                "currency": {"symbol": str(symbol), "decimals": int(decimals)},
            }:
                found = _read_parameters(parameters)
                return Deployment(
                    chain_id=chain_id,
                    genesis_hash=from_hex("genesis_hash", genesis_hash),
                    rpc_url=rpc_url,
                    market=parse_address("market", market),
                    registry=parse_address("registry", registry),
                    lens=parse_address("lens", lens),
                    market_code_hash=from_hex("market_code_hash", market_code_hash),
                    block_number=block_number,
                    parameters=found,
                    arbiter_kind=ArbiterKind(arbiter_kind),
                    currency=Currency(symbol, decimals, is_token=found.token != ZERO_ADDRESS),
                )
    except (TypeError, ValueError) as error:
        raise BadDeployment(str(path), str(error)) from error
    raise BadDeployment(str(path), "fields are missing, or it is of another version")


def check(deployment: Deployment, rpc: Rpc) -> None:
    """That `rpc` serves the very chain and code of the deployment.

    Raises WrongChain, ChainReset, RpcUnavailable.
    """
    chain_id = rpc.chain_id()
    if chain_id != deployment.chain_id:
        raise WrongChain(chain_id, deployment.chain_id)
    genesis = rpc.block(0)
    if genesis is None or genesis.hash != deployment.genesis_hash:
        raise ChainReset("genesis hash", genesis.hash if genesis else None)
    code, head = rpc.code_and_head(deployment.market)
    if not code and head < deployment.block_number:
        raise StaleHead(rpc.masked_url, f"its head is block {head}, before the deployment")
    if keccak(code) != deployment.market_code_hash:
        raise ChainReset("market code hash", keccak(code))


def _read_parameters(value: dict[str, JsonValue]) -> Parameters:
    """Raises TypeError for a field that is missing, unknown or of the wrong type."""
    arbiter, token = (parse_address(name, value.get(name)) for name in _PARAMETER_ADDRESSES)
    numbers = {
        name: item
        for name, item in value.items()
        if name not in _PARAMETER_ADDRESSES and isinstance(item, int)
    }
    if len(numbers) + len(_PARAMETER_ADDRESSES) != len(value):
        raise TypeError("a parameter is no whole number")
    return Parameters(**numbers, arbiter=arbiter, token=token)
