"""JSON-RPC calls whose failures have names: the node is away, or the node says no."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit, urlunsplit

import requests
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

from protocol.digest import JsonValue
from protocol.errors import BadInput, QuernError, Unavailable

_BATCH_LIMIT = 200
_BUSY = 429
_SERVER_FAULT = 500


class BadRpcUrl(BadInput):
    """Not an http or https address, or one whose server turns us away for good."""

    def __init__(self, value: object, fix: str) -> None:
        super().__init__("CHAIN-001", "rpc", value, fix)


class RpcUnavailable(Unavailable):
    """No usable answer: refused, timed out, over quota, cut short. What was sent may still have been done."""

    def __init__(self, url: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            "CHAIN-002", "rpc", url, f"no usable answer ({reason}); start the node or check the address"
        )


class NodeError(QuernError):
    """The node answered with an error. `data` is the revert's return data, where there is any."""

    def __init__(self, method: str, rpc_code: int, message: str, data: bytes | None) -> None:
        self.rpc_code = rpc_code
        self.message = message
        self.data = data
        super().__init__("CHAIN-003", method, message, f"the node refused (code {rpc_code})")


@dataclass(frozen=True, slots=True)
class Block:
    """`timestamp` in unix seconds: the clock of leases and windows."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int


class Rpc:
    """One node. Safe to share between threads."""

    def __init__(self, url: str, timeout_secs: float = 20.0) -> None:
        if not _is_http(url):
            raise BadRpcUrl(mask_url(url), "give http://host:port or https://host")
        self.url = url
        self.masked_url = mask_url(url)
        # Retrying is ours: the library's would sleep through an outage that the caller should hear of.
        self._provider = HTTPProvider(
            url, request_kwargs={"timeout": timeout_secs}, exception_retry_configuration=None
        )

    def call(self, method: str, *params: JsonValue) -> JsonValue:
        """The result of one call. Raises RpcUnavailable, NodeError, BadRpcUrl."""
        answer = self._post(lambda: self._provider.make_request(cast("RPCEndpoint", method), params))
        result = self._result(method, answer)
        if isinstance(result, NodeError):
            raise result
        return result

    def batch(self, calls: Sequence[tuple[str, Sequence[JsonValue]]]) -> list[JsonValue | NodeError]:
        """Results in the order of `calls`, an error in place of each that failed. Raises RpcUnavailable."""
        results: list[JsonValue | NodeError] = []
        for start in range(0, len(calls), _BATCH_LIMIT):
            part = calls[start : start + _BATCH_LIMIT]
            answers = self._post_batch([(cast("RPCEndpoint", method), params) for method, params in part])
            if isinstance(answers, dict):
                failure = self._result("batch", answers)
                raise failure if isinstance(failure, NodeError) else self._garbled()
            if not isinstance(answers, list) or len(answers) != len(part):
                raise self._garbled()
            results += [
                self._result(method, answer) for (method, _), answer in zip(part, answers, strict=True)
            ]
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

    def balance_wei(self, address: str) -> int:
        return self._quantity(self.call("eth_getBalance", address, "latest"))

    def nonce(self, address: str) -> int:
        """Transactions of `address` that are mined."""
        return self._quantity(self.call("eth_getTransactionCount", address, "latest"))

    def parse_block(self, value: JsonValue) -> Block:
        """A block as the node describes it. Raises RpcUnavailable when the answer is no block."""
        if not isinstance(value, dict):
            raise self._garbled()
        try:
            return Block(
                number=self._quantity(value["number"]),
                hash=self._bytes(value["hash"]),
                parent_hash=self._bytes(value["parentHash"]),
                timestamp=self._quantity(value["timestamp"]),
                base_fee_wei=self._quantity(value.get("baseFeePerGas") or "0x0"),
            )
        except KeyError as error:
            raise self._garbled() from error

    def _post_batch(self, part: list[tuple[RPCEndpoint, Sequence[JsonValue]]]) -> object:
        return self._post(lambda: self._provider.make_batch_request(part))

    def _post(self, send: Callable[[], object]) -> object:
        try:
            return send()
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status == _BUSY or status >= _SERVER_FAULT:
                raise RpcUnavailable(self.masked_url, f"HTTP {status}") from error
            raise BadRpcUrl(
                self.masked_url, f"the server answers HTTP {status}; give a JSON-RPC address"
            ) from error
        except requests.Timeout as error:
            raise RpcUnavailable(self.masked_url, "timed out") from error
        except requests.ConnectionError as error:
            raise RpcUnavailable(self.masked_url, "refused or reset") from error
        except requests.RequestException as error:
            raise RpcUnavailable(self.masked_url, type(error).__name__) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # The library's own words for an answer that is not JSON-RPC.
            raise self._garbled() from error

    def _result(self, method: str, answer: object) -> JsonValue | NodeError:
        if not isinstance(answer, dict):
            raise self._garbled()
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
            raise self._garbled() from error

    def _bytes(self, value: JsonValue) -> bytes:
        try:
            return bytes.fromhex(cast("str", value)[2:])
        except (TypeError, ValueError) as error:
            raise self._garbled() from error

    def _garbled(self) -> RpcUnavailable:
        return RpcUnavailable(self.masked_url, "the answer is no JSON-RPC")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises only when it is looked at
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def mask_url(url: str) -> str:
    """The address without user, password, query or any path, where providers put their keys."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable address)"
    host = parts.hostname or ""
    path = "/..." if parts.path.strip("/") or parts.query else ""
    return urlunsplit((parts.scheme, f"{host}{port}{path}", "", "", ""))


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
