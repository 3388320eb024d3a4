"""One node's address: posts to it, gives each failure its name, and knows when to leave it alone."""

import time
from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

from urllib3 import exceptions as http
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint

from chain.connection import Connection, Refused
from chain.faults import (
    BadRpcUrl,
    GarbledAnswer,
    NodeAway,
    NodeSlow,
    OverQuota,
    RpcUnavailable,
    mask_url,
)
from protocol.digest import JsonValue

_BUSY = 429
_SERVER_FAULT = 500
_QUOTA_WORDS = ("rate limit", "too many requests", "request count exceeded")
_DEFAULT_WAIT_SECS = 1.0
_FIRST_REST_SECS = 0.1
_LONGEST_REST_SECS = 30.0


class Endpoint:
    """Safe to share between threads."""

    def __init__(self, url: str, timeout_secs: float) -> None:
        self.masked_url = mask_url(url)
        try:
            self._connection = Connection(_checked(url), timeout_secs)
        except ValueError as error:
            fix = "give http://host:port or https://host, several with commas between"
            raise BadRpcUrl(self.masked_url, fix) from error
        self._rest_secs = 0.0
        self._rested_at = 0.0
        self._welcome_at = 0.0
        self._codec = JSONBaseProvider()

    @property
    def resting_secs(self) -> float:
        """How long others are to be asked first, after faults in a row."""
        return max(0.0, self._rested_at - time.monotonic())

    @property
    def wait(self) -> OverQuota | None:
        """Set while the server wants to be left alone."""
        secs = self._welcome_at - time.monotonic()
        return OverQuota(self.masked_url, "it asked for a pause", secs) if secs > 0 else None

    def call(self, method: str, params: Sequence[JsonValue]) -> object:
        """The answer to one call, as the node gave it. Raises RpcUnavailable, BadRpcUrl."""
        return self._post(self._codec.encode_rpc_request(cast("RPCEndpoint", method), params))

    def batch(self, calls: Sequence[tuple[str, Sequence[JsonValue]]]) -> object:
        """The answers to several, as the node gave them. Raises RpcUnavailable, BadRpcUrl."""
        posted = [(cast("RPCEndpoint", method), params) for method, params in calls]
        answers = self._post(self._codec.encode_batch_rpc_request(posted))
        if not isinstance(answers, list):
            return answers
        try:
            # A server may answer them in any order.
            return sorted(answers, key=lambda answer: int(answer["id"]))
        except (TypeError, ValueError, LookupError) as error:
            raise self._garbled() from error

    def rest(self, fault: RpcUnavailable) -> None:
        """Note a fault: each in a row doubles the time in which others are asked first."""
        self._rest_secs = min(_LONGEST_REST_SECS, max(_FIRST_REST_SECS, 2 * self._rest_secs))
        now = time.monotonic()
        self._rested_at = now + self._rest_secs
        if isinstance(fault, OverQuota):
            self._welcome_at = now + fault.retry_after_secs

    def _post(self, body: bytes) -> object:
        try:
            answer = cast("object", self._codec.decode_rpc_response(self._connection.post(body)))
        except Refused as refused:
            raise self._refusal(refused) from refused
        except http.NewConnectionError as error:
            raise NodeAway(self.masked_url, "refused or unreachable") from error
        except http.TimeoutError as error:
            raise NodeSlow(self.masked_url, "timed out") from error
        except http.ProtocolError as error:
            raise RpcUnavailable(self.masked_url, "reset") from error
        except http.HTTPError as error:
            raise RpcUnavailable(self.masked_url, type(error).__name__) from error
        except ValueError as error:
            raise self._garbled() from error
        for one in answer if isinstance(answer, list) else [answer]:
            self._check_quota(one)
        self._rest_secs, self._rested_at = 0.0, 0.0
        return answer

    def _garbled(self) -> GarbledAnswer:
        return GarbledAnswer(self.masked_url, "the answer is no JSON-RPC")

    def _refusal(self, refused: Refused) -> Exception:
        status = refused.status
        if status == _BUSY:
            wait_secs = _wait_secs(refused.headers.get("Retry-After"))
            return OverQuota(self.masked_url, f"HTTP {status}", wait_secs)
        if status >= _SERVER_FAULT:
            return RpcUnavailable(self.masked_url, f"HTTP {status}")
        return BadRpcUrl(self.masked_url, f"the server answers HTTP {status}; give a JSON-RPC address")

    def _check_quota(self, answer: object) -> None:
        """Some providers say it inside an answer of HTTP 200."""
        error = answer.get("error") if isinstance(answer, dict) else None
        if not isinstance(error, dict):
            return
        said = str(error.get("message", "")).lower()
        if error.get("code") == _BUSY or any(words in said for words in _QUOTA_WORDS):
            raise OverQuota(self.masked_url, "rate limit", _DEFAULT_WAIT_SECS)


def _wait_secs(header: str | None) -> float:
    """Of Retry-After; its other form, a date, is as rare as clocks that agree."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return _DEFAULT_WAIT_SECS


def _checked(url: str) -> str:
    """Raises ValueError unless it is an http or https address."""
    parts = urlsplit(url)
    _ = parts.port  # raises only when it is looked at
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    return url
