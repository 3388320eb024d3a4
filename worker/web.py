"""/metrics for Prometheus and /healthz, on the operator's own machine."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import generate_latest

from worker.live import Snapshot

_STALE_SECS = 30.0


class Web:
    """Serves both while the worker runs; port 0 serves nothing."""

    def __init__(self, host: str, port: int, snapshot: Snapshot) -> None:
        self._address = (host, port)
        self._snapshot = snapshot
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        if self._address[1] == 0:
            return
        snapshot = self._snapshot

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    self._answer(
                        HTTPStatus.OK, generate_latest(snapshot.registry), "text/plain; version=0.0.4"
                    )
                elif self.path == "/healthz":
                    alive = snapshot.age_secs < _STALE_SECS
                    status = HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(status, b"ok\n" if alive else b"stale\n", "text/plain")
                else:
                    self._answer(HTTPStatus.NOT_FOUND, b"try /metrics or /healthz\n", "text/plain")

            def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
                """Scrapes are no news."""

        self._server = ThreadingHTTPServer(self._address, Handler)
        threading.Thread(target=self._server.serve_forever, name="web", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
