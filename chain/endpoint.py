"""One node's address: posts to it, gives each failure its name, and knows when to leave it alone."""

import time
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

import requests
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

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
        if not _is_http(url):
            raise BadRpcUrl(
                mask_url(url), "give http://host:port or https://host, several with commas between"
            )
        self.masked_url = mask_url(url)
        self._faults = 0
        self._rested_at = 0.0
        self._welcome_at = 0.0
        # Retrying is ours: the library's would sleep through an outage that the caller should hear of.
        self._provider = HTTPProvider(
            url, request_kwargs={"timeout": timeout_secs}, exception_retry_configuration=None
        )

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
        return self._post(lambda: self._provider.make_request(cast("RPCEndpoint", method), params))

    def batch(self, calls: Sequence[tuple[str, Sequence[JsonValue]]]) -> object:
        """The answers to several, as the node gave them. Raises RpcUnavailable, BadRpcUrl."""
        posted = [(cast("RPCEndpoint", method), params) for method, params in calls]
        return self._post(lambda: self._provider.make_batch_request(posted))

    def rest(self, fault: RpcUnavailable) -> None:
        """Note a fault: each in a row doubles the time in which others are asked first."""
        secs = min(_LONGEST_REST_SECS, _FIRST_REST_SECS * 2**self._faults)
        self._faults += 1
        now = time.monotonic()
        self._rested_at = now + secs
        if isinstance(fault, OverQuota):
            self._welcome_at = now + fault.retry_after_secs

    def _post(self, send: Callable[[], object]) -> object:
        try:
            answer = send()
        except requests.HTTPError as error:
            raise self._refusal(error) from error
        except requests.Timeout as error:
            raise NodeSlow(self.masked_url, "timed out") from error
        except requests.ConnectionError as error:
            if _never_connected(error):
                raise NodeAway(self.masked_url, "refused or unreachable") from error
            raise RpcUnavailable(self.masked_url, "reset") from error
        except requests.RequestException as error:
            raise RpcUnavailable(self.masked_url, type(error).__name__) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # The library's own words for an answer that is not JSON-RPC.
            raise GarbledAnswer(self.masked_url, "the answer is no JSON-RPC") from error
        for one in answer if isinstance(answer, list) else [answer]:
            self._check_quota(one)
        self._faults, self._rested_at = 0, 0.0
        return answer

    def _refusal(self, error: requests.HTTPError) -> Exception:
        # The library makes this error from a response and never without.
        response = cast("requests.Response", error.response)
        status = response.status_code
        if status == _BUSY:
            wait_secs = _wait_secs(response.headers.get("Retry-After"))
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


def _never_connected(error: requests.ConnectionError) -> bool:
    """urllib3 says why in the cause; it is no dependency of ours, only of requests."""
    cause = error.args[0] if error.args else None
    return type(getattr(cause, "reason", None)).__name__ in {"NewConnectionError", "NameResolutionError"}


def _wait_secs(header: str | None) -> float:
    """Of Retry-After; its other form, a date, is as rare as clocks that agree."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return _DEFAULT_WAIT_SECS


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises only when it is looked at
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
