"""Every way in which asking a node can fail, by name."""

from urllib.parse import urlsplit, urlunsplit

from protocol.errors import BadInput, QuernError, Unavailable


class BadRpcUrl(BadInput):
    """Not an http or https address, or one whose server turns us away for good."""

    def __init__(self, value: object, fix: str) -> None:
        super().__init__("CHAIN-001", "rpc", value, fix)


class RpcUnavailable(Unavailable):
    """No usable answer: refused, reset, or one of the kinds below. What was sent may still have been done."""

    code_of_kind = "CHAIN-002"
    fix_of_kind = "start the node or check the address"

    def __init__(self, url: str, reason: str) -> None:
        self.reason = reason
        super().__init__(self.code_of_kind, "rpc", url, f"no usable answer ({reason}); {self.fix_of_kind}")


class NodeAway(RpcUnavailable):
    """Nobody listens there, so nothing was done."""


class NodeSlow(RpcUnavailable):
    """No answer in the time given; it may still act on what it got."""

    code_of_kind = "CHAIN-004"
    fix_of_kind = "try again, raise the timeout, or name a second node"


class OverQuota(RpcUnavailable):
    """The server wants to be asked less; `retry_after_secs` is how long it wants to be left alone."""

    code_of_kind = "CHAIN-005"
    fix_of_kind = "ask less often, or name a second node"

    def __init__(self, url: str, reason: str, retry_after_secs: float) -> None:
        self.retry_after_secs = retry_after_secs
        super().__init__(url, reason)


class GarbledAnswer(RpcUnavailable):
    """Cut short, or not the JSON-RPC it should be."""

    code_of_kind = "CHAIN-006"
    fix_of_kind = "try again; if it stays, the address is no Ethereum node's"


class StaleHead(RpcUnavailable):
    """The node is behind what it, or another node, has shown before; or its chain changed while it was read."""

    code_of_kind = "CHAIN-007"
    fix_of_kind = "it passes by itself; a node that stays behind needs care"


class NodeError(QuernError):
    """The node answered with an error. `data` is the revert's return data, where there is any."""

    def __init__(self, method: str, rpc_code: int, message: str, data: bytes | None) -> None:
        self.rpc_code = rpc_code
        self.message = message
        self.data = data
        super().__init__("CHAIN-003", method, message, f"the node refused (code {rpc_code})")


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
