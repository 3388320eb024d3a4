"""Puts the contracts on a chain."""

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount

from chain.bindings import PanelArbiterAbi
from chain.call import Call, simulate
from chain.compiler import Artifact, compile_contracts
from chain.deployment import ArbiterKind, Deployment
from chain.rpc import NodeError, Rpc
from chain.token import Token
from protocol.abi import ZERO_ADDRESS, parse_address
from protocol.currency import ETHER
from protocol.digest import keccak
from protocol.errors import BadInput, QuernError
from protocol.parameters import Parameters

_PARAMETERS_TYPE = "(uint32,uint32,uint32,uint32,uint32,uint32,uint64,uint64,uint64,uint64,address,address)"
_PANEL_TYPES = ("address[]", "uint8", "uint32", "uint32")
_WORD_BYTES = 32
_GAS_MARGIN = 1.2
_POLL_SECS = 0.05


class DeploymentFailed(QuernError):
    """A creation that was not mined in time, or reverted."""

    exit_status = 3

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(
            "CHAIN-014", contract, reason, "check the node, the balance and the parameters, then deploy again"
        )


class ArbiterTooSlow(BadInput):
    """The market's time for a ruling is shorter than the arbiter and the demands before it may take."""

    def __init__(self, timeout_secs: int, least_secs: int) -> None:
        fix = f"give at least {least_secs} s: window, answer time and the arbiter's own time together"
        super().__init__("CHAIN-015", "arbiter timeout", timeout_secs, fix)


class NotAnArbiter(BadInput):
    """Nothing at that address says how long a ruling takes."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "CHAIN-016", "arbiter", address, "name a contract with rulingSecs(), or the members of a panel"
        )


@dataclass(frozen=True, slots=True)
class PanelTerms:
    """A panel to deploy with the market: a ruling needs `threshold` equal votes of `members` (EIP-55)."""

    members: tuple[str, ...]
    threshold: int
    commit_secs: int
    reveal_secs: int


def deploy(
    rpc: Rpc,
    account: LocalAccount,
    parameters: Parameters,
    panel: PanelTerms | None = None,
    timeout_secs: float = 120.0,
) -> Deployment:
    """Arbiter, market, registry and lens. With `panel` the arbiter is a new panel, else `parameters.arbiter`.

    Raises ArbiterTooSlow, NotAnArbiter, NotAToken, BadCurrency before anything is sent; DeploymentFailed, NodeError,
    RpcUnavailable, DoesNotCompile, MissingTool.
    """
    artifacts = compile_contracts()
    chain_id = rpc.chain_id()
    genesis = rpc.block(0)
    if genesis is None:
        raise DeploymentFailed("genesis", "the node has no block 0")
    ruling_secs = panel.commit_secs + panel.reveal_secs if panel else _ruling_secs(rpc, parameters.arbiter)
    _require_time(parameters, ruling_secs)
    is_ether = parameters.token == ZERO_ADDRESS
    currency = ETHER if is_ether else Token(rpc, parameters.token).currency()
    first_block = rpc.block_number()
    creator = Creator(rpc, account, chain_id, timeout_secs)
    if panel is not None:
        arbiter = creator.create(artifacts["PanelArbiter"], _PANEL_TYPES, astuple(panel))
        parameters = replace(parameters, arbiter=arbiter)
    market = creator.create(artifacts["InferenceMarket"], [_PARAMETERS_TYPE], [astuple(parameters)])
    registry = creator.create(artifacts["ModelRegistry"], [], [])
    lens = creator.create(artifacts["MarketLens"], ["address"], [market])
    return Deployment(
        chain_id=chain_id,
        genesis_hash=genesis.hash,
        rpc_url=rpc.url,
        market=market,
        registry=registry,
        lens=lens,
        market_code_hash=keccak(rpc.code(market)),
        block_number=first_block + 1,
        parameters=parameters,
        arbiter_kind=_kind_of(rpc, parameters.arbiter),
        currency=currency,
    )


def _require_time(parameters: Parameters, ruling_secs: int) -> None:
    """A ruling waits for demands, and one may be made in the window's last second. Raises ArbiterTooSlow."""
    least_secs = parameters.least_ruling_secs + ruling_secs
    if parameters.arbiter_timeout_secs < least_secs:
        raise ArbiterTooSlow(parameters.arbiter_timeout_secs, least_secs)


def _ruling_secs(rpc: Rpc, arbiter: str) -> int:
    """Raises NotAnArbiter."""
    data = _asked(rpc, arbiter, "rulingSecs", PanelArbiterAbi.encode_ruling_secs())
    if len(data) != _WORD_BYTES:
        raise NotAnArbiter(arbiter)
    return int.from_bytes(data, "big")


def _kind_of(rpc: Rpc, arbiter: str) -> ArbiterKind:
    """A panel is what has a threshold of votes."""
    data = _asked(rpc, arbiter, "threshold", PanelArbiterAbi.encode_threshold())
    return ArbiterKind.PANEL if len(data) == _WORD_BYTES else ArbiterKind.OTHER


def _asked(rpc: Rpc, address: str, name: str, data: bytes) -> bytes:
    """What a contract answers; nothing where it knows no such question."""
    try:
        return simulate(rpc, Call(name, address, data))
    except ConnectionError:
        raise
    except (NodeError, QuernError):
        return b""


class Creator:
    """Creates contracts, one transaction after the other."""

    def __init__(self, rpc: Rpc, account: LocalAccount, chain_id: int, timeout_secs: float) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._timeout_secs = timeout_secs

    def create(self, artifact: Artifact, kinds: Sequence[str], arguments: Sequence[object]) -> str:
        data = artifact.bytecode + encode(kinds, arguments)
        creation = {"from": self._account.address, "data": "0x" + data.hex()}
        gas = int(str(self._rpc.call("eth_estimateGas", creation)), 16)
        base_fee_wei = self._rpc.latest().base_fee_wei
        tip_wei = int(str(self._rpc.call("eth_maxPriorityFeePerGas")), 16)
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": self._rpc.nonce(self._account.address),
                "data": data,
                "value": 0,
                "gas": int(gas * _GAS_MARGIN),
                "maxFeePerGas": 2 * base_fee_wei + tip_wei,
                "maxPriorityFeePerGas": tip_wei,
            }
        )
        tx_hash = self._rpc.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
        return self._await(artifact.name, str(tx_hash))

    def _await(self, name: str, tx_hash: str) -> str:
        deadline = time.monotonic() + self._timeout_secs
        while time.monotonic() < deadline:
            receipt = self._rpc.call("eth_getTransactionReceipt", tx_hash)
            if isinstance(receipt, dict):
                if receipt.get("status") != "0x1":
                    raise DeploymentFailed(name, "its constructor reverted")
                return parse_address("contractAddress", receipt.get("contractAddress"))
            time.sleep(_POLL_SECS)
        raise DeploymentFailed(name, f"not mined within {self._timeout_secs:.0f} s")
