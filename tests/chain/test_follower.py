"""Following the market: every event once and in order, across reorganisations, limits and lagging nodes."""

import pytest

from chain.follower import Cursor, Follower
from chain.rpc import NodeError, Rpc, RpcUnavailable
from protocol.lifecycle import Deposited, Event


class Limited(Rpc):
    """The real node behind a provider's limit on the range of eth_getLogs, or with a head that lags."""

    def __init__(self, rpc, max_range=10**9, lag=0):
        super().__init__(rpc.url)
        self._max_range, self._lag = max_range, lag
        self.ranges: list[int] = []

    def call(self, method, *params):
        if method == "eth_getLogs":
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            self.ranges.append(span)
            if span > self._max_range:
                raise NodeError(method, -32005, "query returned more than 10000 results", None)
        return super().call(method, *params)

    def batch(self, calls):
        answers = super().batch(calls)
        if not self._lag:
            return answers
        upto = self.block_number() - self._lag
        behind = super().call("eth_getBlockByNumber", hex(upto), False)
        return [
            behind if params[0] == "latest" else answer if int(str(params[0]), 16) <= upto else None
            for answer, (_, params) in zip(answers, calls, strict=True)
        ]


@pytest.fixture
def deposit(rpc, market, asker):
    """Deposits an amount that names the deposit."""
    return lambda units: asker.send_and_wait(market.deposit(asker.address, units))


def amounts(events):
    return [event.amount_units for event in events if isinstance(event, Deposited)]


def follow(follower, trail):
    """Polls until nothing is left, as a worker does; returns events and the trail, newest cursor first."""
    events: list[Event] = []
    while True:
        batch = follower.poll(trail)
        if batch.reorg_to is not None:
            trail = [cursor for cursor in trail if cursor.number < batch.cursor.number]
            events = [event for event in events if event.at.block_number <= batch.reorg_to]
        events += batch.events
        trail = [batch.cursor, *(cursor for cursor in trail if cursor != batch.cursor)]
        if batch.complete:
            return events, trail


def test_every_event_comes_once_and_in_order(rpc, market, deposit):
    follower = Follower(rpc, market.deployment)
    first, trail = follow(follower, [])
    deposit(1)
    deposit(2)
    second, trail = follow(follower, trail)
    deposit(3)
    third, trail = follow(follower, trail)
    assert amounts(second) == [1, 2]
    assert amounts(third) == [3]
    assert follow(follower, trail) == ([], trail)
    places = [(event.at.block_number, event.at.log_index) for event in first + second + third]
    assert places == sorted(set(places))


def test_events_carry_their_blocks_hash_and_time(rpc, market, deposit):
    receipt = deposit(1)
    event = Follower(rpc, market.deployment).poll().events[-1]
    block = rpc.block(receipt.block_number)
    assert (event.at.block_hash, event.at.timestamp) == (block.hash, block.timestamp)
    assert event.at.tx_hash == receipt.tx_hash


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_range_the_node_finds_too_large_is_halved_and_grows_again(rpc, market, deposit, limit):
    for units in range(1, 9):
        deposit(units)
    limited = Limited(rpc, max_range=limit)
    events, _ = follow(Follower(limited, market.deployment), [])
    assert amounts(events)[-8:] == list(range(1, 9))
    assert max(limited.ranges) > limit
    assert limited.ranges.count(limit) >= 2 or limit == 7


def test_a_node_that_refuses_even_one_block_is_an_error(rpc, market, deposit):
    deposit(1)
    with pytest.raises(NodeError, match="10000 results"):
        Follower(Limited(rpc, max_range=0), market.deployment).poll()


@pytest.mark.parametrize("depth", [1, 2, 5, 10])
def test_a_reorganisation_leads_back_to_the_common_ancestor(rpc, market, asker, deposit, depth):
    follower = Follower(rpc, market.deployment)
    _, trail = follow(follower, [])
    deposit(1)
    kept, trail = follow(follower, trail)
    snapshot = rpc.call("evm_snapshot")
    ancestor = rpc.latest()
    for units in range(depth):
        deposit(100 + units)
        _, trail = follow(follower, trail)
    rpc.call("evm_revert", snapshot)
    for units in range(depth + 1):
        deposit(200 + units)

    batch = follower.poll(trail)
    assert batch.reorg_to == ancestor.number
    assert batch.cursor == Cursor(ancestor.number, ancestor.hash)
    assert batch.events == ()
    events, _ = follow(follower, trail)
    assert amounts(events) == [200 + units for units in range(depth + 1)]
    assert amounts(kept) == [1]


def test_a_reorganisation_deeper_than_the_trail_starts_from_the_first_block(rpc, market, deposit):
    follower = Follower(rpc, market.deployment)
    deposit(1)
    lost = Cursor(rpc.block_number(), b"\x11" * 32)
    batch = follower.poll([lost])
    assert batch.reorg_to == market.deployment.block_number - 1
    events, _ = follow(follower, [lost])
    assert amounts(events)[-1] == 1


def test_a_node_behind_its_own_head_is_no_news(rpc, market, deposit):
    follower = Follower(rpc, market.deployment)
    deposit(1)
    _, trail = follow(follower, [])
    behind = Follower(Limited(rpc, lag=1), market.deployment)
    batch = behind.poll(trail)
    assert (batch.events, batch.cursor, batch.reorg_to) == ((), trail[0], None)


def test_confirmations_hold_events_back(rpc, market, deposit):
    follower = Follower(rpc, market.deployment, confirmations=2)
    _, trail = follow(follower, [])
    deposit(1)
    events, trail = follow(follower, trail)
    assert amounts(events) == []
    rpc.call("evm_mine")
    rpc.call("evm_mine")
    events, trail = follow(follower, trail)
    assert amounts(events)[-1] == 1
    assert trail[0].number == rpc.block_number() - 2


def test_an_outage_is_an_error_and_not_an_empty_poll(market):
    with pytest.raises(RpcUnavailable):
        Follower(Rpc("http://127.0.0.1:1", timeout_secs=1), market.deployment).poll()
