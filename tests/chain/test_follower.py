"""Following the market: every event once and in order, across reorganisations, limits and lagging nodes."""

from contextlib import suppress

import pytest

from chain.follower import Cursor, Follower
from chain.rpc import NodeError, NodeSlow, Rpc, RpcUnavailable, StaleHead
from protocol.lifecycle import Deposited, Event


class Limited(Rpc):
    """The real node behind a provider's limit on the range of eth_getLogs, or as it was `lag` blocks ago (its `latest`
    `head_lag` blocks ago, if that is given).
    """

    def __init__(self, rpc, max_range=10**9, lag=0, head_lag=None, slow_range=10**9):
        super().__init__(rpc.url)
        self._max_range, self._lag, self._slow_range = max_range, lag, slow_range
        self._head_lag = lag if head_lag is None else head_lag
        self.ranges: list[int] = []

    def batch(self, calls):
        answers = super().batch(calls)
        head = self.block_number()
        return [
            self._bounded(head, method, params, answer)
            for (method, params), answer in zip(calls, answers, strict=True)
        ]

    def _bounded(self, head, method, params, answer):
        upto = head - self._lag
        if method == "eth_getLogs":
            span = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            self.ranges.append(span)
            if span > self._slow_range:
                raise NodeSlow(self.masked_url, "timed out")
            if span > self._max_range:
                return NodeError(method, -32005, "query returned more than 10000 results", None)
            return [log for log in answer if int(log["blockNumber"], 16) <= upto]
        if params[0] == "latest":
            return super().call(method, hex(head - self._head_lag), False)
        if method == "eth_getBlockByNumber" and int(params[0], 16) > upto:
            return None
        return answer


class Changing(Rpc):
    """The real node, with something done to it right before one of its answers."""

    def __init__(self, rpc, before, change):
        super().__init__(rpc.url)
        self._before, self._change = before, change

    def batch(self, calls):
        self._before -= 1
        if self._before == 0:
            self._change()
        return super().batch(calls)


class Torn(Rpc):
    """The real node, which answers a batch call by call and has something done to it right after the logs."""

    def __init__(self, rpc, change):
        super().__init__(rpc.url)
        self._change = change

    def batch(self, calls):
        answers = []
        for call in calls:
            answers += super().batch([call])
            if call[0] == "eth_getLogs" and self._change is not None:
                self._change, change = None, self._change
                change()
        return answers


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
        trail = [
            batch.cursor,
            *reversed(batch.marks),
            *(cursor for cursor in trail if cursor != batch.cursor),
        ]
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


def test_a_range_the_node_is_too_slow_for_is_halved(rpc, market, deposit):
    for units in range(1, 9):
        deposit(units)
    limited = Limited(rpc, slow_range=4)
    follower = Follower(limited, market.deployment)
    for _ in range(3):
        with suppress(NodeSlow):
            events, _ = follow(follower, [])
            assert amounts(events)[-8:] == list(range(1, 9))
            assert limited.ranges[0] > 4 >= limited.ranges[-1]
            return
    raise AssertionError(limited.ranges)


def test_a_node_that_refuses_even_one_block_is_an_error(rpc, market, deposit):
    deposit(1)
    with pytest.raises(NodeError, match="10000 results"):
        Follower(Limited(rpc, max_range=0), market.deployment).poll()


def fork(rpc, deposit, depth, new_depth=None):
    """Replaces the newest blocks by others; returns what mined `depth` deposits on top of the common ancestor first."""
    snapshot = rpc.call("evm_snapshot")
    for units in range(depth):
        deposit(100 + units)

    def switch():
        assert rpc.call("evm_revert", snapshot) is True
        for units in range(depth + 1 if new_depth is None else new_depth):
            deposit(200 + units)

    return switch


@pytest.mark.parametrize("depth", [1, 2, 5, 10])
@pytest.mark.parametrize("polls", ["at each block", "at the end"])
def test_a_reorganisation_undoes_its_own_blocks_and_no_others(rpc, market, deposit, depth, polls):
    """Whatever the blocks were read in: each of the newest can be turned back to."""
    follower = Follower(rpc, market.deployment)
    trail = []
    if polls == "at each block":
        _, trail = follow(follower, [])
    deposit(1)
    kept, trail = follow(follower, trail)
    ancestor = rpc.latest()
    switch = fork(rpc, deposit, depth)
    _, trail = follow(follower, trail)
    switch()

    batch = follower.poll(trail)
    assert batch.reorg_to == ancestor.number
    assert batch.cursor == Cursor(ancestor.number, ancestor.hash)
    assert batch.events == ()
    events, _ = follow(follower, trail)
    assert amounts(events) == [200 + units for units in range(depth + 1)]
    assert amounts(kept)[-1] == 1


def test_a_shorter_chain_is_news_too_when_it_is_another(rpc, market, deposit):
    follower = Follower(rpc, market.deployment)
    deposit(1)
    ancestor = rpc.latest()
    switch = fork(rpc, deposit, 5, new_depth=2)
    _, trail = follow(follower, [])
    switch()
    assert follower.poll(trail).reorg_to == ancestor.number
    events, _ = follow(follower, trail)
    assert amounts(events) == [200, 201]


def test_a_chain_cut_off_before_its_new_blocks_come_is_waited_for(rpc, market, deposit):
    follower = Follower(rpc, market.deployment)
    deposit(1)
    switch = fork(rpc, deposit, 5, new_depth=0)
    _, trail = follow(follower, [])
    switch()
    batch = follower.poll(trail)
    assert (batch.events, batch.cursor, batch.reorg_to) == ((), trail[0], None)


@pytest.mark.parametrize("answer", [1, 2])
def test_a_reorganisation_between_two_answers_of_a_poll_mixes_no_chains(rpc, market, deposit, answer):
    deposit(1)
    _, trail = follow(Follower(rpc, market.deployment), [])
    switch = fork(rpc, deposit, 3)
    _, ahead = follow(Follower(rpc, market.deployment), trail)
    deposit(9)
    follower = Follower(Changing(rpc, answer, switch), market.deployment)
    try:
        batch = follower.poll(ahead)
    except StaleHead:
        batch = follower.poll(ahead)
    assert batch.reorg_to == trail[0].number
    events, _ = follow(follower, ahead)
    assert amounts(events) == [200, 201, 202, 203]


@pytest.mark.parametrize("confirmations", [0, 2])
def test_a_reorganisation_right_after_the_logs_loses_no_event(rpc, market, deposit, confirmations):
    """The old blocks had no events, so none of them tells that the new blocks are others."""
    _, trail = follow(Follower(rpc, market.deployment), [])
    snapshot = rpc.call("evm_snapshot")
    rpc.call("hardhat_mine", hex(1 + confirmations))

    def switch():
        assert rpc.call("evm_revert", snapshot) is True
        for units in range(2 + confirmations):
            deposit(200 + units)

    follower = Follower(Torn(rpc, switch), market.deployment, confirmations)
    with pytest.raises(StaleHead):
        follower.poll(trail)
    events, _ = follow(follower, trail)
    assert amounts(events) == [200, 201]


def test_a_node_that_lacks_blocks_of_the_range_is_asked_again(rpc, market, deposit):
    """Asked beyond its head, a node gives the logs it has and says nothing of those it lacks."""
    _, trail = follow(Follower(rpc, market.deployment), [])
    deposit(1)
    deposit(2)
    with pytest.raises(StaleHead):
        Follower(Limited(rpc, lag=1, head_lag=0), market.deployment).poll(trail)
    events, _ = follow(Follower(rpc, market.deployment), trail)
    assert amounts(events) == [1, 2]


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
