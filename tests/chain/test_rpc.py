"""A node's faults by name: away, slow, over quota, cut short, or saying no."""

import base64
import http.server
import threading
import time
from contextlib import contextmanager
from email.message import Message

import pytest

from chain.rpc import BadRpcUrl, NodeError, Rpc, RpcUnavailable, mask_url


@contextmanager
def server(status=200, body=b"", delay_secs=0.0, shown=None):
    """A real HTTP server that answers every request alike, and adds its headers to `shown`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if shown is not None:
                shown.append(self.headers)
            time.sleep(delay_secs)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}"
        finally:
            running.shutdown()
            thread.join()


def test_reads_of_a_live_node_have_types(rpc):
    head = rpc.latest()
    assert rpc.chain_id() == 31_337
    assert rpc.block(head.number) == head
    assert rpc.block(head.number).parent_hash == rpc.block(head.number - 1).hash
    assert rpc.block(10**9) is None
    assert rpc.block_number() == head.number
    assert rpc.code("0x" + "0" * 39 + "9") == b""


def test_a_batch_keeps_the_order_and_the_place_of_errors(rpc):
    answers = rpc.batch([("eth_chainId", []), ("no_such", []), *[("eth_blockNumber", [])] * 450])
    assert answers[0] == hex(31_337)
    assert isinstance(answers[1], NodeError)
    assert len(answers) == 452
    assert len(set(map(str, answers[2:]))) == 1
    assert rpc.batch([]) == []


def test_what_the_node_refuses_is_a_node_error(rpc):
    with pytest.raises(NodeError, match="not supported") as caught:
        rpc.call("no_such_method")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 429}, "HTTP 429"),
        ({"status": 500}, "HTTP 500"),
        ({"status": 503}, "HTTP 503"),
        ({"body": b'{"jsonrpc":"2.0","id":0,"resu'}, "no JSON-RPC"),
        ({"body": b"<html>"}, "no JSON-RPC"),
        ({"body": b"[]"}, "no JSON-RPC"),
        ({"body": b"7"}, "no JSON-RPC"),
        ({"body": b'{"jsonrpc":"2.0","id":0,"result":"many"}'}, "no JSON-RPC"),
        ({"body": b'{"jsonrpc":"2.0","id":0,"result":null}'}, "no JSON-RPC"),
        ({"body": b"\xff\xfe"}, "no JSON-RPC"),
        ({"delay_secs": 0.5}, "timed out"),
    ],
)
def test_no_usable_answer_is_unavailable(answer, reason):
    with server(**answer) as url, pytest.raises(RpcUnavailable, match=reason) as caught:
        Rpc(url, timeout_secs=0.2).chain_id()
    assert caught.value.exit_status == 3


@pytest.mark.parametrize(
    "body", [b"[]", b'{"jsonrpc":"2.0","id":0,"result":1}', b'[{"id":0,"result":"0x1"}]', b"{"]
)
def test_a_batch_cut_short_is_unavailable(body):
    with server(body=body) as url, pytest.raises(RpcUnavailable):
        Rpc(url, timeout_secs=1).batch([("eth_chainId", []), ("eth_blockNumber", [])])


def test_a_refused_connection_is_unavailable():
    with pytest.raises(RpcUnavailable, match="refused or unreachable") as caught:
        Rpc("http://127.0.0.1:1", timeout_secs=1).chain_id()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


@pytest.mark.parametrize("status", [401, 404])
def test_a_server_that_turns_us_away_is_the_callers_to_change(status):
    with server(status=status) as url, pytest.raises(BadRpcUrl, match=str(status)):
        Rpc(url, timeout_secs=1).chain_id()


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8545", "ftp://host", "http://", "http://[x", "http://host:99999", "file:///etc/passwd"],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(BadRpcUrl):
        Rpc(url)


def test_user_and_password_of_an_address_are_shown_to_its_server():
    shown: list[Message] = []
    with server(body=b'{"jsonrpc":"2.0","id":0,"result":"0x1"}', shown=shown) as url:
        assert Rpc(url.replace("://", "://me:s%40fe@"), timeout_secs=1).chain_id() == 1
    assert shown[0]["Authorization"] == "Basic " + base64.b64encode(b"me:s@fe").decode()


def test_an_address_behind_a_proxy_is_asked_through_it(monkeypatch):
    shown: list[Message] = []
    with server(body=b'{"jsonrpc":"2.0","id":0,"result":"0x1"}', shown=shown) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert Rpc("http://rpc.example/v1", timeout_secs=1).chain_id() == 1
    assert shown[0]["Host"] == "rpc.example"


def test_answers_of_a_batch_are_put_in_order_by_their_numbers():
    body = b'[{"jsonrpc":"2.0","id":1,"result":"0x2"},{"jsonrpc":"2.0","id":0,"result":"0x1"}]'
    with server(body=body) as url:
        answers = Rpc(url, timeout_secs=1).batch([("eth_chainId", []), ("eth_blockNumber", [])])
    assert answers == ["0x1", "0x2"]


def test_credentials_are_masked():
    url = "https://user:secret@rpc.example:8545/v3/0123456789abcdef?key=hidden"
    assert mask_url(url) == "https://rpc.example:8545/..."
    with pytest.raises(RpcUnavailable) as caught:
        Rpc("http://user:secret@127.0.0.1:1/v3/hidden", timeout_secs=1).chain_id()
    assert not any(word in str(caught.value) for word in ("secret", "hidden", "user"))
