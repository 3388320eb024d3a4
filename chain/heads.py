"""Word of new blocks as they come, where a node offers it over a WebSocket: when to look, never what is so."""

import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from protocol.digest import parse_json

_SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
_OPEN_SECS, _LISTEN_SECS = 5.0, 0.5
_FIRST_PAUSE_SECS, _LONGEST_PAUSE_SECS = 1.0, 60.0
_MAX_MESSAGE_BYTES = 1 << 20
_MOST_TOGETHER = 1_000
_BREATH_SECS = 0.02


def websocket_of(rpc_url: str) -> str:
    """Where most nodes offer it: the same address, by the other scheme. Of several nodes, the first's."""
    parts = urlsplit(rpc_url.split(",", maxsplit=1)[0].strip())
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))


class HeadWatch:
    """Calls `seen` from a thread of its own after every new block, once for several that came together.

    A node that offers nothing, or went away, is asked again, ever more rarely.
    """

    def __init__(self, url: str, seen: Callable[[], None]) -> None:
        self._url = url
        self._seen = seen
        self._stopping = threading.Event()
        self._pause_secs = _FIRST_PAUSE_SECS
        self._thread = threading.Thread(target=self._loop, name="heads", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait: a server that does not answer may hold the thread for a few seconds."""
        self._stopping.set()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception:  # noqa: BLE001 word of blocks is a help; nothing may end the watch for good
                # Refused, cut off, no node, or nonsense: looking at the chain at intervals goes on without it.
                self._stopping.wait(self._pause_secs)
                self._pause_secs = min(_LONGEST_PAUSE_SECS, 2 * self._pause_secs)

    def _listen(self) -> None:
        """Until the connection ends, which raises."""
        from websockets.sync.client import connect

        with connect(
            self._url, open_timeout=_OPEN_SECS, close_timeout=_LISTEN_SECS, max_size=_MAX_MESSAGE_BYTES
        ) as socket:
            socket.send(json.dumps(_SUBSCRIBE))
            while not self._stopping.is_set():
                try:
                    message = socket.recv(_LISTEN_SECS)
                except TimeoutError:
                    continue
                told = _is_head(message)
                for _ in range(_MOST_TOGETHER):
                    more = _waiting(socket.recv)
                    if more is None:
                        break
                    told |= _is_head(more)
                if told:
                    self._pause_secs = _FIRST_PAUSE_SECS
                    self._seen()
                    # A node that tells of blocks without end must not keep the worker looking without end.
                    self._stopping.wait(_BREATH_SECS)


def _waiting(receive: Callable[[float], str | bytes]) -> str | bytes | None:
    """What has come already, if anything has."""
    try:
        return receive(0)
    except TimeoutError:
        return None


def _is_head(message: str | bytes) -> bool:
    """Raises MalformedJson, and ValueError where the node refuses the subscription."""
    written = message.encode() if isinstance(message, str) else message
    told = parse_json("message", written, max_bytes=_MAX_MESSAGE_BYTES)
    if not isinstance(told, dict) or "error" in told:
        raise ValueError("no subscription")
    return told.get("method") == "eth_subscription"
