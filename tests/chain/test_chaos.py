"""Trouble on order: every fault is what its name says, comes by the seed, and is told."""

import json
import threading

import pytest
import requests

from chain import deployment as deployments
from chain.chaos import Chaos, ChaosPortTaken, Injected, Reorganisation
from chain.devnet import dev_account
from chain.reorg import Reorganiser, encode_signed
from chain.rpc import GarbledAnswer, NodeSlow, OverQuota, Rpc, RpcUnavailable, StaleHead
from chain.schedule import BadRates, BadSchedule, Fault, Schedule, parse_rates, show_rates
from chain.sender import Sender, SenderPolicy
from protocol.digest import JsonValue, keccak

ALL = dict.fromkeys(Fault, 0.1)


@pytest.fixture
def chaos(devnet):
    """Starts proxies; what they do is in `told`."""
    running = []

    def start(rates, seed=1, **schedule):
        told: list[Injected | Reorganisation] = []
        server = Chaos(devnet.rpc_url, Schedule(seed, rates, **schedule), told.append)
        server.__enter__()
        server.told = told  # type: ignore[attr-defined]
        running.append(server)
        return server

    yield start
    for server in running:
        server.__exit__()


def always(fault, amount):
    """The first seed whose first request meets the fault with an amount of that kind."""
    for seed in range(10_000):
        injection = Schedule(seed, {fault: 1.0}).at(0, sends=True)
        assert injection is not None
        if amount(injection.amount):
            return {"rates": {fault: 1.0}, "seed": seed}
    raise AssertionError


def post(url, call):
    return requests.post(url, json={"jsonrpc": "2.0", "id": 1, "method": call, "params": []}, timeout=5)


def test_the_same_seed_makes_the_same_trouble():
    first, again, other = Schedule(1, ALL, 10), Schedule(1, ALL, 10), Schedule(2, ALL, 10)
    numbers = range(500)
    backwards = {n: again.at(n, sends=True) for n in reversed(numbers)}
    assert {n: first.at(n, sends=True) for n in numbers} == backwards
    assert {n: other.at(n, sends=True) for n in numbers} != backwards
    reorgs = [first.reorg(n) for n in numbers]
    assert reorgs == [again.reorg(n) for n in numbers]
    assert {reorg.depth for reorg in reorgs if reorg is not None} == set(range(1, 11))


def test_faults_come_as_often_as_ordered():
    schedule = Schedule(7, {Fault.BUSY: 0.3, Fault.LAG: 0.1, Fault.DROP_SEND: 0.2})
    found = [each.fault for n in range(5_000) for each in [schedule.at(n, sends=True)] if each]
    assert 0.27 < found.count(Fault.BUSY) / 5_000 < 0.33
    assert 0.08 < found.count(Fault.LAG) / 5_000 < 0.12
    assert 0.17 < found.count(Fault.DROP_SEND) / 5_000 < 0.23
    reads = [each.fault for n in range(5_000) for each in [schedule.at(n, sends=False)] if each]
    assert reads == [fault for fault in found if fault is not Fault.DROP_SEND]
    assert Schedule(7, {}).at(0, sends=True) is None
    assert Schedule(7, {}).reorg(0) is None


@pytest.mark.parametrize("text", ["", "busy=0.5", "busy=0.02,lag=0.1,drop-send=0.5"])
def test_rates_are_read_as_they_are_shown(text):
    assert show_rates(parse_rates(text)) == text


@pytest.mark.parametrize(
    "text", ["busy", "busy=", "busy=much", "storm=0.1", "busy=2", "busy=-1", "busy=0.9,lag=0.9", "busy=nan"]
)
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(BadRates, match=r"write busy=0\.02"):
        Schedule(1, parse_rates(text))


@pytest.mark.parametrize("change", [{"reorg_secs": -1.0}, {"reorg_secs": float("nan")}, {"max_depth": 0}])
def test_a_schedule_that_cannot_be_is_refused(change):
    with pytest.raises(BadSchedule):
        Schedule(1, {}, **change)


def test_without_faults_it_is_the_node(rpc, chaos):
    through = Rpc(chaos({}).url)
    assert through.latest() == rpc.latest()
    assert through.batch([("eth_chainId", []), ("no_such", [])])[0] == "0x7a69"


def test_a_taken_port_is_refused(devnet, chaos):
    port = int(chaos({}).url.rpartition(":")[2])
    with pytest.raises(ChaosPortTaken):
        Chaos(devnet.rpc_url, Schedule(1, {}), print, port)
    with pytest.raises(ChaosPortTaken):
        Chaos(devnet.rpc_url, Schedule(1, {}), print, 70_000)


def test_a_busy_node_says_for_how_long(chaos):
    server = chaos(**always(Fault.BUSY, lambda secs: secs == 1))
    answer = post(server.url, "eth_chainId")
    assert (answer.status_code, answer.headers["Retry-After"], answer.content) == (429, "1", b"")
    with pytest.raises(OverQuota):
        Rpc(server.url).chain_id()
    assert isinstance(server.told[0], Injected)
    assert str(server.told[0]) == "request 0: busy 1 (eth_chainId x1)"


@pytest.mark.parametrize("heard", [False, True])
def test_a_reset_comes_before_or_after_the_node_has_heard(rpc, chaos, heard):
    server = chaos(**always(Fault.RESET, lambda share: (share >= 0.5) is heard))
    before = rpc.block_number()
    with pytest.raises(requests.ConnectionError):
        post(server.url, "evm_mine")
    assert rpc.block_number() == before + heard
    with pytest.raises(RpcUnavailable):
        Rpc(server.url).chain_id()


@pytest.mark.parametrize("told", [False, True])
def test_a_truncated_answer_is_no_json(chaos, told):
    server = chaos(**always(Fault.TRUNCATE, lambda share: (share >= 0.5) is told))
    with pytest.raises((json.JSONDecodeError, requests.exceptions.ChunkedEncodingError)):
        post(server.url, "eth_chainId").json()
    with pytest.raises((GarbledAnswer, RpcUnavailable)):
        Rpc(server.url).chain_id()


def test_a_lagging_answer_is_late(chaos):
    server = chaos(**always(Fault.LAG, lambda secs: secs > 0.5))
    with pytest.raises(NodeSlow):
        Rpc(server.url, timeout_secs=0.3).chain_id()


def test_a_stale_node_is_in_all_things_as_it_was(rpc, market, asker, chaos):
    asker.send_and_wait(market.deposit(asker.address, 5))
    receipt = asker.send_and_wait(market.deposit(asker.address, 7))
    server = chaos(**always(Fault.STALE, lambda blocks: blocks == 1))
    through = Rpc(server.url)
    head, nonce = rpc.block_number(), rpc.nonce(asker.address)
    tx_hash = "0x" + receipt.tx_hash.hex()

    def as_it_was(read):
        """Amounts differ from request to request; the first is 1."""
        server._requests = 0
        return read()

    assert as_it_was(through.block_number) == head - 1
    assert as_it_was(through.latest) == rpc.block(head - 1)
    assert as_it_was(lambda: through.block(head)) is None
    assert as_it_was(lambda: through.nonce(asker.address)) == nonce - 1
    assert as_it_was(lambda: through.call("eth_getTransactionReceipt", tx_hash)) is None
    wanted = {"fromBlock": hex(head - 1), "toBlock": hex(head)}
    (log,) = as_it_was(lambda: through.call("eth_getLogs", wanted))
    assert int(log["blockNumber"], 16) == head - 1
    batch: list[tuple[str, list[JsonValue]]] = [
        ("eth_blockNumber", []),
        ("eth_getBlockByNumber", [hex(head), False]),
    ]
    assert as_it_was(lambda: through.batch(batch)) == [hex(head - 1), None]


def test_a_stale_node_that_has_no_market_yet_is_no_other_chain(devnet, chaos):
    server = chaos(**always(Fault.STALE, lambda blocks: blocks == 5))
    server._requests = -2
    with pytest.raises(StaleHead, match="before the deployment"):
        deployments.check(devnet.deployment, Rpc(server.url))


def test_a_dropped_send_is_said_to_be_taken_and_is_not(rpc, market, asker, chaos):
    server = chaos({Fault.DROP_SEND: 1.0})
    sender = Sender(Rpc(server.url), dev_account(5))
    sender.plan("lost", market.deposit(asker.address, 5))
    sender.pump()
    assert rpc.nonce(sender.address) == 0
    assert isinstance(server.told[-1], Injected)
    assert server.told[-1].methods == ("eth_sendRawTransaction",)
    intent = sender.intent("lost")
    assert intent is not None
    assert intent.sent_at > 0, "the node said it had it"


def test_a_duplicated_send_happens_once(rpc, market, asker, chaos):
    before = market.account(asker.address).free_units
    sender = Sender(Rpc(chaos({Fault.DUPLICATE_SEND: 1.0}).url), dev_account(5))
    assert sender.send_and_wait(market.deposit(asker.address, 5)).success
    assert market.account(asker.address).free_units == before + 5
    assert rpc.nonce(sender.address) == 1


def test_a_sender_gets_everything_through_everything(rpc, market, asker, chaos):
    """Each of its deposits happens once, whatever happens to its requests; the seed is in the fault's number."""
    rates = dict.fromkeys(Fault, 0.08) | {Fault.LAG: 0.0}
    server = chaos(rates, seed=4)
    policy = SenderPolicy(resend_after_secs=0.2)
    sender = Sender(Rpc(server.url), dev_account(5), policy=policy)
    before = market.account(asker.address).free_units
    for units in range(1, 11):
        sender.plan(f"deposit {units}", market.deposit(asker.address, units), gas_limit=100_000)
        wait_until_ended(sender, f"deposit {units}")
    assert market.account(asker.address).free_units == before + 55
    assert rpc.nonce(sender.address) == 10
    assert {done.injection.fault for done in server.told} >= {Fault.BUSY, Fault.RESET, Fault.STALE}


def wait_until_ended(sender, key):
    for _ in range(1_000):
        try:
            sender.pump()
        except RpcUnavailable:
            continue
        if sender.intent(key).ended:
            return
    raise AssertionError(key)


def test_the_bytes_of_a_transaction_are_had_from_what_the_node_tells(rpc, market, asker):
    receipt = asker.send_and_wait(market.deposit(asker.address, 5))
    told = rpc.call("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert keccak(encode_signed(told)) == receipt.tx_hash


@pytest.mark.parametrize("depth", [1, 5, 10])
def test_a_reorganisation_orphans_blocks_and_takes_their_transactions_along(rpc, market, asker, depth):
    reorganiser = Reorganiser(rpc)
    reorganiser.mark()
    for _ in range(depth):
        asker.send_and_wait(market.deposit(asker.address, 5))
        reorganiser.mark()
    head, units = rpc.latest(), market.account(asker.address).free_units
    done = reorganiser.reorganise(depth, draw=3)
    assert done is not None
    assert (done.depth, done.sent_again, done.left_out) == (depth, depth, 0)
    assert rpc.block(head.number).hash != head.hash
    assert rpc.block(done.fork_block + 1).parent_hash == rpc.block(done.fork_block).hash
    assert rpc.block_number() > head.number
    assert rpc.latest().timestamp >= head.timestamp
    assert market.account(asker.address).free_units == units


def test_the_same_transactions_in_the_same_second_still_make_another_block(rpc, market, asker):
    reorganiser = Reorganiser(rpc)
    rpc.call("evm_setNextBlockTimestamp", rpc.latest().timestamp + 100)
    reorganiser.mark()
    asker.send_and_wait(market.deposit(asker.address, 5))
    head = rpc.latest()
    assert reorganiser.reorganise(1) is not None
    again = rpc.block(head.number)
    assert (again.timestamp, again.parent_hash) == (head.timestamp, head.parent_hash)
    assert again.hash != head.hash


def test_what_is_left_out_of_a_reorganisation_is_gone_with_all_that_came_after(rpc, market, asker):
    reorganiser = Reorganiser(rpc)
    reorganiser.mark()
    units, nonce = market.account(asker.address).free_units, rpc.nonce(asker.address)
    for _ in range(6):
        asker.send_and_wait(market.deposit(asker.address, 5))
    done = reorganiser.reorganise(6, lost_share=0.3, draw=2)
    assert done is not None
    assert done.sent_again + done.left_out == 6
    assert 0 < done.left_out < 6
    assert market.account(asker.address).free_units == units + 5 * done.sent_again
    assert rpc.nonce(asker.address) == nonce + done.sent_again


def test_a_chain_with_no_block_to_go_back_to_stays(rpc):
    reorganiser = Reorganiser(rpc)
    head = rpc.latest()
    assert reorganiser.reorganise(1) is None
    reorganiser.mark()
    assert reorganiser.reorganise(1) is None
    assert rpc.latest() == head


def test_reorganisations_come_by_themselves_and_nobody_sees_one_half_way(rpc, market, asker, chaos):
    server = chaos({}, reorg_secs=0.3, max_depth=4)
    through, heights = Rpc(server.url), []
    stop = threading.Event()

    def mine():
        while not stop.wait(0.02):
            through.call("evm_mine")
            heights.append(through.block_number())

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        while sum(isinstance(done, Reorganisation) and done.done is not None for done in server.told) < 3:
            assert not stop.wait(0.05)
            assert len(heights) < 2_000
    finally:
        stop.set()
        thread.join()
    assert heights == sorted(heights)
