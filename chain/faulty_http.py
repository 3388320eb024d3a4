"""A local HTTP server that can also answer badly: cut short, or not at all."""

import http.server
import socket
import struct
from collections.abc import Callable

import requests

# Of the answers cut short, this share says nothing of being so.
_UNTOLD_SHARE = 0.5


class LocalServer(http.server.ThreadingHTTPServer):
    """Gives each body that is posted to `answer`, with the handler to reply by."""

    daemon_threads = True

    def __init__(
        self, port: int, answer: Callable[[http.server.BaseHTTPRequestHandler, bytes], None]
    ) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Answers go out in two writes: without this, each waits for the client's acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                try:
                    answer(self, self.rfile.read(int(self.headers["Content-Length"])))
                except requests.RequestException:
                    reply(self, b"", 502)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, *_: object) -> None:
        """Clients hang up; that is theirs."""


def reply(
    handler: http.server.BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def reply_cut(handler: http.server.BaseHTTPRequestHandler, body: bytes, share: float) -> None:
    """The first part of the answer; either nothing says that there is more, or the connection ends too early."""
    part = body[: min(int(len(body) * share), len(body) - 2)]
    if share < _UNTOLD_SHARE:
        reply(handler, part)
        return
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(part)
    handler.wfile.flush()
    handler.close_connection = True


def reset(handler: http.server.BaseHTTPRequestHandler) -> None:
    """With a lingering time of 0 the kernel sends RST instead of FIN (socket(7))."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
