"""JSON-RPC calls to one node or several, tried in order; failures have names (`chain.faults`)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

from chain.endpoint import Endpoint
from chain.faults import (
    BadRpcUrl,
    GarbledAnswer,
    NodeAway,
    NodeError,
    NodeSlow,
    OverQuota,
    RpcUnavailable,
    StaleHead,
    mask_url,
)
from protocol.digest import JsonValue

__all__ = [
    "BadRpcUrl",
    "Block",
    "GarbledAnswer",
    "NodeAway",
    "NodeError",
    "NodeSlow",
    "OverQuota",
    "Rpc",
    "RpcUnavailable",
    "StaleHead",
    "mask_url",
]

_T = TypeVar("_T")
_BATCH_LIMIT = 200
# Faults that pass at once shall not reach the caller; an outage shall, soon.
_PAUSES_SECS = (0.05, 0.25)
_LONGEST_WAIT_SECS = 2.0
# Asking these again changes nothing: a signed transaction counts once. A devnet's own commands do not repeat.
_REPEATABLE = ("eth_", "net_", "web3_")


@dataclass(frozen=True, slots=True)
class Block:
    """`timestamp` in unix seconds: the clock of leases and windows."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int


class Rpc:
    """One chain through one node or several. Safe to share between threads.

    `url` may name several nodes with commas between them: the first that is well is asked, the next if it fails.
    A fault that passes (reset, cut short, over quota for a moment) is tried again up to twice before it is raised.
    """

    def __init__(self, url: str, timeout_secs: float = 20.0) -> None:
        urls = [part.strip() for part in url.split(",") if part.strip()]
        self.url = ",".join(urls)
        self._endpoints = [Endpoint(part, timeout_secs) for part in urls or [url]]
        self._answering = self._endpoints[0]

    @property
    def masked_url(self) -> str:
        """Of the node that answered last, without credentials."""
        return self._answering.masked_url

    def distrust(self, fault: RpcUnavailable) -> None:
        """What the last answer says is wrong, though it is sound JSON-RPC: another node is asked for a while."""
        if len(self._endpoints) > 1:
            self._answering.rest(fault)

    def call(self, method: str, *params: JsonValue) -> JsonValue:
        """The result of one call. Raises RpcUnavailable, NodeError, BadRpcUrl."""
        repeatable = method.startswith(_REPEATABLE)
        result = self._ask(
            lambda node: self._result(node, method, node.call(method, params)), repeatable=repeatable
        )
        if isinstance(result, NodeError):
            raise result
        return result

    def batch(self, calls: Sequence[tuple[str, Sequence[JsonValue]]]) -> list[JsonValue | NodeError]:
        """Results in the order of `calls`, an error in place of each that failed. Raises RpcUnavailable."""
        results: list[JsonValue | NodeError] = []
        for start in range(0, len(calls), _BATCH_LIMIT):
            part = calls[start : start + _BATCH_LIMIT]
            repeatable = all(method.startswith(_REPEATABLE) for method, _ in part)
            results += self._ask(partial(self._results, part=part), repeatable=repeatable)
        return results

    def chain_id(self) -> int:
        return self._quantity(self.call("eth_chainId"))

    def block_number(self) -> int:
        return self._quantity(self.call("eth_blockNumber"))

    def latest(self) -> Block:
        return self.parse_block(self.call("eth_getBlockByNumber", "latest", False))

    def block(self, number: int) -> Block | None:
        """None where the chain has no such block (yet, or any more)."""
        found = self.call("eth_getBlockByNumber", hex(number), False)
        return None if found is None else self.parse_block(found)

    def code(self, address: str) -> bytes:
        return self._bytes(self.call("eth_getCode", address, "latest"))

    def code_and_head(self, address: str) -> tuple[bytes, int]:
        """The code at `address`, and the number of the block at which it was looked up."""
        answers = self.batch([("eth_getCode", [address, "latest"]), ("eth_blockNumber", [])])
        for answer in answers:
            if isinstance(answer, NodeError):
                raise answer
        code, head = cast("list[JsonValue]", answers)
        return self._bytes(code), self._quantity(head)

    def balance_wei(self, address: str) -> int:
        return self._quantity(self.call("eth_getBalance", address, "latest"))

    def nonce(self, address: str) -> int:
        """Transactions of `address` that are mined."""
        return self._quantity(self.call("eth_getTransactionCount", address, "latest"))

    def parse_block(self, value: JsonValue) -> Block:
        """A block as the node describes it. Raises RpcUnavailable when the answer is no block."""
        if not isinstance(value, dict):
            raise _garbled(self)
        try:
            return Block(
                number=self._quantity(value["number"]),
                hash=self._bytes(value["hash"]),
                parent_hash=self._bytes(value["parentHash"]),
                timestamp=self._quantity(value["timestamp"]),
                base_fee_wei=self._quantity(value.get("baseFeePerGas") or "0x0"),
            )
        except KeyError as error:
            raise _garbled(self) from error

    def _ask(self, ask: Callable[[Endpoint], _T], *, repeatable: bool) -> _T:
        """The first usable answer: of the nodes in order, those that lately failed last."""
        for pause_secs in (*_PAUSES_SECS, None):
            faults: list[RpcUnavailable] = []
            for node in sorted(self._endpoints, key=lambda node: node.resting_secs > 0):
                wait = node.wait
                if wait is not None:
                    faults.append(wait)
                    continue
                try:
                    answer = ask(node)
                except BadRpcUrl as refusal:
                    if len(self._endpoints) == 1:
                        raise
                    fault = RpcUnavailable(node.masked_url, refusal.fix)
                    node.rest(fault)
                    faults.append(fault)
                except RpcUnavailable as fault:
                    node.rest(fault)
                    faults.append(fault)
                    if not repeatable and not isinstance(fault, NodeAway | OverQuota):
                        raise
                else:
                    self._answering = node
                    return answer
            wait_secs = _wait_secs(faults, pause_secs)
            if wait_secs is None:
                raise faults[0]
            time.sleep(wait_secs)
        raise AssertionError("the last pause is None")

    def _results(
        self, node: Endpoint, part: Sequence[tuple[str, Sequence[JsonValue]]]
    ) -> list[JsonValue | NodeError]:
        answers = node.batch(part)
        if isinstance(answers, dict):
            failure = self._result(node, "batch", answers)
            raise failure if isinstance(failure, NodeError) else _garbled(node)
        if not isinstance(answers, list) or len(answers) != len(part):
            raise _garbled(node)
        return [self._result(node, method, answer) for (method, _), answer in zip(part, answers, strict=True)]

    def _result(self, node: Endpoint, method: str, answer: object) -> JsonValue | NodeError:
        if not isinstance(answer, dict):
            raise _garbled(node)
        error = answer.get("error")
        if error is None:
            return cast("JsonValue", answer.get("result"))
        if not isinstance(error, dict):
            return NodeError(method, 0, str(error), None)
        code = error.get("code")
        message = str(error.get("message", "no message"))
        return NodeError(
            method, code if isinstance(code, int) else 0, message, _revert_data(error.get("data"))
        )

    def _quantity(self, value: JsonValue) -> int:
        try:
            return int(cast("str", value), 16)
        except (TypeError, ValueError) as error:
            raise _garbled(self) from error

    def _bytes(self, value: JsonValue) -> bytes:
        try:
            return bytes.fromhex(cast("str", value)[2:])
        except (TypeError, ValueError) as error:
            raise _garbled(self) from error


def _wait_secs(faults: Sequence[RpcUnavailable], pause_secs: float | None) -> float | None:
    """How long until asking again is worth it; None if the caller should hear of it instead."""
    passing = [fault for fault in faults if not isinstance(fault, NodeAway | NodeSlow)]
    if pause_secs is None or not passing:
        return None
    waits = [
        max(pause_secs, fault.retry_after_secs) if isinstance(fault, OverQuota) else pause_secs
        for fault in passing
    ]
    return min(waits) if min(waits) <= _LONGEST_WAIT_SECS else None


def _garbled(node: "Endpoint | Rpc") -> GarbledAnswer:
    return GarbledAnswer(node.masked_url, "the answer is no JSON-RPC")


def _revert_data(data: object) -> bytes | None:
    """Nodes disagree: the bytes stand in `data`, or in `data.data`."""
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return None
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return None
