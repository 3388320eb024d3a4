"""A call to a contract before it becomes a transaction."""

from dataclasses import dataclass

from chain.bindings import ERRORS
from chain.revert import decode_revert
from chain.rpc import NodeError, Rpc
from protocol.digest import JsonValue


@dataclass(frozen=True, slots=True)
class Call:
    """`name` is the contract's function, for messages; `value_wei` goes with the call."""

    name: str
    to: str
    data: bytes
    value_wei: int = 0


def call_object(call: Call, sender: str | None = None) -> dict[str, JsonValue]:
    """The call as `eth_call` and `eth_estimateGas` take it."""
    fields: dict[str, JsonValue] = {"to": call.to, "data": "0x" + call.data.hex()}
    if call.value_wei:
        fields["value"] = hex(call.value_wei)
    if sender is not None:
        fields["from"] = sender
    return fields


def simulate(rpc: Rpc, call: Call, sender: str | None = None) -> bytes:
    """What the call would return now. Raises MarketRevert, NodeError, RpcUnavailable."""
    try:
        return bytes.fromhex(str(rpc.call("eth_call", call_object(call, sender), "latest"))[2:])
    except NodeError as error:
        raise named_revert(call, error) from error


def estimate_gas(rpc: Rpc, call: Call, sender: str) -> int:
    """Gas the call would use now. Raises MarketRevert, NodeError, RpcUnavailable."""
    try:
        return int(str(rpc.call("eth_estimateGas", call_object(call, sender))), 16)
    except NodeError as error:
        raise named_revert(call, error) from error


def named_revert(call: Call, error: NodeError) -> Exception:
    """The contract's own error in place of the node's, where the node passes one on."""
    return error if not error.data else decode_revert(call.name, error.data, ERRORS)
