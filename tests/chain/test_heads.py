"""Word of new blocks over a WebSocket: it comes soon, and its absence harms nobody."""

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from chain.heads import HeadWatch, websocket_of


@pytest.mark.parametrize(
    ("rpc_url", "websocket"),
    [
        ("http://127.0.0.1:8545", "ws://127.0.0.1:8545"),
        ("https://user:word@host/path?key=1", "wss://user:word@host/path?key=1"),
        ("http://first:1, https://second", "ws://first:1"),
    ],
)
def test_the_websocket_of_a_node_is_at_its_own_address(rpc_url, websocket):
    assert websocket_of(rpc_url) == websocket


def test_a_new_block_is_told_of_before_anybody_would_look(rpc):
    told = threading.Event()
    watch = HeadWatch(websocket_of(rpc.url), told.set)
    watch.start()
    give_up = time.monotonic() + 10
    while not told.is_set() and time.monotonic() < give_up:
        # The first blocks may come before the subscription stands.
        rpc.call("evm_mine")
        told.wait(0.2)
    assert told.is_set()
    told.clear()
    rpc.call("evm_mine")
    assert told.wait(5)
    watch.stop()


def test_a_node_that_offers_nothing_is_left_alone_and_a_stopped_watch_ends(monkeypatch):
    monkeypatch.setattr("chain.heads._FIRST_PAUSE_SECS", 0.05)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(10)
        watch = HeadWatch(f"ws://127.0.0.1:{server.getsockname()[1]}", lambda: pytest.fail("told of nothing"))
        watch.start()
        for _ in range(3):
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            connection.close()
    watch.stop()
    watch._thread.join(10)
    assert not watch._thread.is_alive()


@contextmanager
def node(tells):
    """A server that takes the subscription, and then does as `tells` with the connection."""

    def answer(connection):
        connection.recv()
        with suppress(OSError, ConnectionClosed):
            tells(connection)

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("message", ["[" * 200_000, "NaN", "9" * 5_000, '"\\ud800"', b"\xff\xfe", ""])
def test_no_message_ends_the_watch(message, monkeypatch):
    monkeypatch.setattr("chain.heads._FIRST_PAUSE_SECS", 0.01)
    asked = threading.Semaphore(0)

    def tells(connection):
        asked.release()
        connection.send(message)

    with node(tells) as url:
        watch = HeadWatch(url, lambda: pytest.fail("told of nothing"))
        watch.start()
        assert all(asked.acquire(timeout=10) for _ in range(2)), "it comes back"
        watch.stop()
        watch._thread.join(10)


def test_a_node_that_tells_of_blocks_without_end_is_not_followed_without_end():
    told = json.dumps({"method": "eth_subscription"}).encode()
    frames = (bytes([0x81, len(told)]) + told) * 2_000
    looks = []

    def tells(connection):
        while True:
            connection.socket.sendall(frames)

    with node(tells) as url:
        watch = HeadWatch(url, lambda: looks.append(time.monotonic()))
        watch.start()
        time.sleep(1.0)
        watch.stop()
        watch._thread.join(10)
        assert not watch._thread.is_alive()
    assert 2 <= len(looks) <= 60
