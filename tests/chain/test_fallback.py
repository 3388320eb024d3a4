"""Several nodes in order, and faults that pass: who is asked, how often, and what the caller hears of it."""

import http.server
import json
import threading
import time

import pytest

from chain.rpc import (
    BadRpcUrl,
    GarbledAnswer,
    NodeAway,
    NodeSlow,
    OverQuota,
    Rpc,
    RpcUnavailable,
    StaleHead,
)

NOBODY = "http://127.0.0.1:1"


class Node:
    """A real HTTP server that answers each request by the next of `script`, by its number when that is used up."""

    def __init__(self, chain_id, *script):
        self.chain_id, self.script, self.asked = chain_id, list(script), 0
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                node.asked += 1
                (node.script.pop(0) if node.script else sound)(self, posted, node.chain_id)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def die(self):
        # Connections kept alive outlive the listener.
        self.script = [reset] * 100
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer(handler, body, status=200, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def sound(handler, posted, chain_id):
    one = lambda call: {"jsonrpc": "2.0", "id": call["id"], "result": hex(chain_id)}  # noqa: E731
    answer(
        handler,
        json.dumps([one(call) for call in posted] if isinstance(posted, list) else one(posted)).encode(),
    )


def busy(retry_after):
    return lambda handler, *_: answer(handler, b"", 429, Retry_After=retry_after)


def status(number):
    return lambda handler, *_: answer(handler, b"", number)


def reset(handler, *_):
    handler.close_connection = True
    handler.connection.close()


def cut(handler, posted, chain_id):
    answer(handler, b'{"jsonrpc":"2.0","id":0,"resu')


def shorter_than_said(handler, *_):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"jsonrpc":"2.0"')
    handler.close_connection = True


def quota_in_answer(handler, posted, _):
    error = {"code": -32005, "message": "daily request count exceeded, request rate limited"}
    answer(handler, json.dumps({"jsonrpc": "2.0", "id": posted["id"], "error": error}).encode())


def slow(handler, posted, chain_id):
    time.sleep(0.6)
    sound(handler, posted, chain_id)


@pytest.fixture
def node():
    nodes = []

    def start(chain_id, *script):
        nodes.append(Node(chain_id, *script))
        return nodes[-1]

    yield start
    for each in nodes:
        each.die()


@pytest.mark.parametrize(
    "fault",
    [busy("0"), busy("0.2"), status(500), status(503), reset, cut, shorter_than_said],
    ids=["busy", "busy for a while", "500", "503", "reset", "cut", "shorter than said"],
)
def test_a_fault_that_passes_is_not_the_callers(node, fault):
    one = node(1, fault, fault)
    rpc = Rpc(one.url)
    assert rpc.chain_id() == 1
    assert one.asked == 3
    one.script = [fault]
    assert rpc.batch([("eth_chainId", []), ("eth_chainId", [])]) == ["0x1", "0x1"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(busy("0"), OverQuota), (status(500), RpcUnavailable), (reset, RpcUnavailable), (cut, GarbledAnswer)],
    ids=["busy", "500", "reset", "cut"],
)
def test_a_fault_that_stays_is_raised_by_its_name(node, fault, kind):
    one = node(1, *[fault] * 9)
    with pytest.raises(kind):
        Rpc(one.url).chain_id()
    assert one.asked == 3


def test_an_absent_and_a_slow_node_are_asked_once(node):
    with pytest.raises(NodeAway):
        Rpc(NOBODY).chain_id()
    one = node(1, slow, slow)
    with pytest.raises(NodeSlow):
        Rpc(one.url, timeout_secs=0.2).chain_id()
    assert one.asked == 1


def test_an_outage_may_last_for_any_number_of_calls():
    absent = Rpc(NOBODY)
    for _ in range(2_000):
        with pytest.raises(NodeAway):
            absent.chain_id()


def test_a_server_that_wants_to_be_left_alone_is(node):
    one = node(1, busy("30"))
    rpc = Rpc(one.url)
    with pytest.raises(OverQuota) as caught:
        rpc.chain_id()
    assert caught.value.retry_after_secs == 30
    with pytest.raises(OverQuota):
        rpc.chain_id()
    assert one.asked == 1


def test_a_quota_inside_an_answer_is_one_too(node):
    one = node(1, quota_in_answer)
    assert Rpc(one.url).chain_id() == 1
    assert one.asked == 2


def test_what_must_not_happen_twice_is_not_asked_twice(node):
    one = node(1, reset)
    with pytest.raises(RpcUnavailable):
        Rpc(one.url).call("evm_increaseTime", 60)
    assert one.asked == 1


def test_the_second_node_answers_when_the_first_dies_and_the_first_when_it_is_back(node):
    first, second = node(1), node(2)
    rpc = Rpc(f"{first.url}, {second.url}")
    assert [rpc.chain_id(), rpc.chain_id()] == [1, 1]
    first.script = [status(500)]
    assert rpc.chain_id() == 2
    assert rpc.masked_url == second.url
    time.sleep(0.15)
    assert rpc.chain_id() == 1
    first.die()
    assert [rpc.chain_id() for _ in range(5)] == [2] * 5


def test_a_node_that_failed_is_asked_less_and_less(node):
    first, second = node(1, *[status(500)] * 50), node(2)
    rpc = Rpc(f"{first.url},{second.url}")
    until = time.monotonic() + 0.9
    while time.monotonic() < until:
        assert rpc.chain_id() == 2
    assert 2 <= first.asked <= 5 < second.asked


@pytest.mark.parametrize("fault", [busy("30"), slow, cut, status(401)], ids=["busy", "slow", "cut", "401"])
def test_any_fault_of_the_first_node_leads_to_the_second(node, fault):
    first, second = node(1, fault), node(2)
    assert Rpc(f"{first.url},{second.url}", timeout_secs=0.2).chain_id() == 2


def test_a_node_whose_answers_are_stale_is_passed_over_for_a_while(node):
    first, second = node(1), node(2)
    rpc = Rpc(f"{first.url},{second.url}")
    assert rpc.chain_id() == 1
    rpc.distrust(StaleHead(rpc.masked_url, "behind"))
    assert rpc.chain_id() == 2


def test_nobody_there_is_an_outage_with_the_first_nodes_name():
    with pytest.raises(NodeAway, match=r"127\.0\.0\.1:1'"):
        Rpc(f"{NOBODY},http://127.0.0.1:2").chain_id()


@pytest.mark.parametrize("url", ["", " , ", "http://127.0.0.1:1,nonsense"])
def test_each_address_must_be_one(url):
    with pytest.raises(BadRpcUrl):
        Rpc(url)


def test_credentials_of_every_address_are_masked(node):
    with pytest.raises(RpcUnavailable) as caught:
        Rpc("http://user:secret@127.0.0.1:1/hidden,http://other:secret@127.0.0.1:2/?key=hidden").chain_id()
    assert not any(word in str(caught.value) for word in ("secret", "hidden", "user", "other"))
