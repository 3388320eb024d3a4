"""Gas limits of transactions about to be signed, found by simulating them."""

from collections.abc import Sequence

from chain.bindings import ERRORS
from chain.call import call_object
from chain.journal import Intent
from chain.revert import decode_revert
from chain.rpc import NodeError, Rpc
from protocol.digest import JsonValue

# EIP-7825, and what Hardhat enforces: no single transaction may ask for more.
TX_GAS_CAP = 1 << 24
_MARGIN_PERCENT = 120


def gas_limits(rpc: Rpc, address: str, planned: Sequence[Intent]) -> list[int | str]:
    """Per intent its gas limit, or why it would revert. Raises RpcUnavailable."""
    asked: list[tuple[str, list[JsonValue]]] = []
    for intent in planned:
        fields = call_object(intent.call, address)
        if not intent.gas_limit:
            asked.append(("eth_estimateGas", [fields]))
        elif intent.simulate:
            asked.append(("eth_call", [fields, "latest"]))
    answers = iter(rpc.batch(asked))
    return [
        _limit(intent, next(answers)) if intent.simulate or not intent.gas_limit else intent.gas_limit
        for intent in planned
    ]


def _limit(intent: Intent, answer: JsonValue | NodeError) -> int | str:
    if isinstance(answer, NodeError):
        return decode_revert(intent.call.name, answer.data, ERRORS).said if answer.data else answer.message
    if intent.gas_limit:
        return intent.gas_limit
    return min(int(str(answer), 16) * _MARGIN_PERCENT // 100, TX_GAS_CAP)
