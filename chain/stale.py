"""A node as it was some blocks ago: requests rewritten, and answers cut, as if the newest blocks had not come yet."""

from collections.abc import Mapping
from typing import TypeAlias

from protocol.digest import JsonValue

Fields: TypeAlias = dict[str, JsonValue]
# Where each method says of which block it asks.
_TAG_AT: Mapping[str, int] = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getBlockByNumber": 0,
    "eth_getCode": 1,
    "eth_getStorageAt": 2,
    "eth_getTransactionCount": 1,
}
_NUMBER_IN: Mapping[str, str] = {
    "eth_getBlockByHash": "number",
    "eth_getTransactionByHash": "blockNumber",
    "eth_getTransactionReceipt": "blockNumber",
}


def asked_of(call: Fields, head: int) -> Fields:
    """The call as a node whose newest block is `head` understands it."""
    method, params = str(call.get("method")), call.get("params")
    at = _TAG_AT.get(method)
    if at is None or not isinstance(params, list):
        return call
    if len(params) <= at:
        return {**call, "params": [*params, hex(head)]}
    if params[at] in ("latest", "pending", "safe", "finalized"):
        return {**call, "params": [*params[:at], hex(head), *params[at + 1 :]]}
    return call


def answered_by(call: Fields, answer: Fields, head: int) -> Fields:
    """The answer as a node whose newest block is `head` gives it: what it has not got, it does not mention."""
    method, result = str(call.get("method")), answer.get("result")
    if method == "eth_blockNumber":
        return {**answer, "result": hex(head)}
    if method == "eth_getLogs" and isinstance(result, list):
        return {**answer, "result": [log for log in result if not _newer(log, "blockNumber", head)]}
    if method == "eth_getBlockByNumber" and _newer(result, "number", head):
        return {**answer, "result": None}
    if method in _NUMBER_IN and _newer(result, _NUMBER_IN[method], head):
        return {**answer, "result": None}
    return answer


def _newer(value: JsonValue, field: str, head: int) -> bool:
    number = value.get(field) if isinstance(value, dict) else None
    return isinstance(number, str) and int(number, 16) > head
