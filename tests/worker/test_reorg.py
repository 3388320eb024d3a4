"""A chain that changes its mind: what the orphaned blocks did is undone, and nothing else is read again."""

import threading
from dataclasses import dataclass, field

import pytest

from chain.follower import Follower
from chain.sender import Sender
from protocol.digest import JsonValue
from protocol.lifecycle import TaskState
from protocol.receipt import Receipt
from tests.worker.harness import OPERATOR, MarketPlace
from worker.chain_rows import KEPT_BLOCKS
from worker.database import Database
from worker.follow import ANNOUNCED_STORE, Poller
from worker.view import View

STATES = [TaskState.OPEN, TaskState.LEASED, TaskState.POSTED, TaskState.SETTLED]


class CountingFollower(Follower):
    """Counts the events it passes on."""

    events = 0

    def poll(self, trail=()):
        news = super().poll(trail)
        self.events += len(news.events)
        return news


@dataclass
class Eyes:
    """What a worker sees and writes down, without the worker."""

    place: MarketPlace
    path: str
    confirmations: int = 0
    database: Database = field(init=False)

    def __post_init__(self):
        self.open()

    def open(self):
        """As a worker starts: from the rows of its database."""
        place = self.place
        self.database = Database(place.home / self.path)
        self.view = View(OPERATOR.address, place.devnet.deployment.parameters.age_rate_wei)
        self.view.load(self.database.live_tasks(), ())
        self.follower = CountingFollower(place.rpc, place.devnet.deployment, self.confirmations)
        lock = threading.RLock()
        self.poller = Poller(self.follower, place.market, self.view, self.database, lock, lambda: None)

    def close(self):
        self.database.close()

    def look(self):
        self.poller.catch_up()
        return self

    def seen(self):
        """All that is derived from events: rows, and the lists that decisions are made on."""
        view = self.view
        return {
            "rows": self.database._all("SELECT * FROM task ORDER BY id", ()),
            "held": {task.id: task for task in view.held()},
            "posted": {task.id: task for task in view.posted()},
            "claimable": [task.id for task in view.claimable()],
            "units": (view.free_units, view.locked_units),
        }


@dataclass
class Chain:
    """Steps of tasks' lives, each in a block of its own and with empty blocks after it; any of them can be undone."""

    place: MarketPlace
    ids: list[bytes] = field(default_factory=list)
    points: dict[int, JsonValue] = field(default_factory=dict)

    def __post_init__(self):
        self.rpc, self.market = self.place.rpc, self.place.market
        self.worker = Sender(self.rpc, OPERATOR)
        self.mine(10)

    def mine(self, blocks):
        for _ in range(blocks):
            self.rpc.call("evm_mine")
            self.note()

    def note(self):
        """This block can be come back to."""
        self.points[self.rpc.block_number()] = self.rpc.call("evm_snapshot")

    def lead_to(self, state, look):
        """The first of three tasks."""
        steps = [
            lambda: self.ids.extend(self.place.submit(*(self.place.request() for _ in range(3)))),
            lambda: self.worker.send_and_wait(self.market.claim_many(self.ids[:2])),
            lambda: self.worker.send_and_wait(self.market.post_batch([Receipt(self.ids[0], b"\1" * 32, 5)])),
            self.settle,
        ]
        for step in steps[: STATES.index(state) + 1]:
            step()
            self.note()
            look()
            self.mine(2)

    def settle(self):
        assert self.place.skip_window(self.ids[:1])
        self.worker.send_and_wait(self.market.settle_many(self.ids[:1]))

    def undo(self, depth):
        """The newest blocks, at least `depth`; returns the number of the newest that is left."""
        fork = max(number for number in self.points if number <= self.rpc.block_number() - depth)
        assert self.rpc.call("evm_revert", self.points[fork]) is True
        self.points = {number: point for number, point in self.points.items() if number < fork}
        self.note()
        return fork

    def go_another_way(self, blocks):
        """A longer branch in which other things happen to the tasks that are there."""
        known = [one for one in self.ids if self.place.states([one]) != [TaskState.NONE]]
        self.place.submit(self.place.request())
        if known:
            self.worker.send_and_wait(self.market.claim_many(known[1:]))
        self.mine(blocks)


def events_after(place, block):
    return sum(event.at.block_number > block for event in place.events())


@pytest.mark.deep
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name.lower())
def test_after_a_reorganisation_of_any_depth_all_is_as_if_read_anew(place, state):
    start = place.rpc.call("evm_snapshot")
    for depth in range(1, 11):
        chain = Chain(place)
        eyes = Eyes(place, f"followed-{depth}").look()
        chain.lead_to(state, eyes.look)
        assert place.states(chain.ids)[0] is state
        tip, read_before = place.rpc.block_number(), eyes.look().follower.events
        fork = chain.undo(depth)
        chain.go_another_way(tip - fork)
        eyes.look()
        assert eyes.seen() == Eyes(place, f"fresh-{depth}").look().seen()
        assert eyes.follower.events - read_before == events_after(place, fork)
        eyes.close()
        assert place.rpc.call("evm_revert", start) is True
        start = place.rpc.call("evm_snapshot")


def test_a_branch_that_is_only_shorter_is_followed_too(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed").look()
    chain.lead_to(TaskState.POSTED, eyes.look)
    chain.undo(8)
    chain.go_another_way(1)
    assert eyes.look().seen() == Eyes(place, "fresh").look().seen()


def test_a_chain_reorganised_over_and_over_is_still_followed(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed").look()
    for depth in (1, 4, 2, 10, 3):
        chain.ids.clear()
        chain.lead_to(TaskState.LEASED, eyes.look)
        tip = place.rpc.block_number()
        chain.go_another_way(tip - chain.undo(depth))
        assert eyes.look().seen() == Eyes(place, f"fresh-{depth}").look().seen()


def test_a_reorganisation_deeper_than_is_kept_reads_all_again(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed")
    chain.lead_to(TaskState.LEASED, eyes.look)
    place.rpc.call("hardhat_mine", hex(KEPT_BLOCKS + 1))
    eyes.look()
    tip = place.rpc.block_number()
    chain.go_another_way(tip - chain.undo(KEPT_BLOCKS + 3))
    assert eyes.look().seen() == Eyes(place, "fresh").look().seen()


def test_what_was_read_long_ago_is_not_kept_for_undoing(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed")
    chain.lead_to(TaskState.LEASED, eyes.look)
    assert eyes.database._one("SELECT COUNT(*) FROM undo", ()) == (5,)
    place.rpc.call("hardhat_mine", hex(KEPT_BLOCKS))
    eyes.look()
    assert eyes.database._one("SELECT COUNT(*) FROM undo", ()) == (0,)
    assert eyes.database._one("SELECT COUNT(*) <= ? FROM trail", (KEPT_BLOCKS + 1,)) == (1,)


def test_a_worker_that_slept_through_a_reorganisation_finds_its_way(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed")
    chain.lead_to(TaskState.POSTED, eyes.look)
    eyes.close()
    tip = place.rpc.block_number()
    chain.go_another_way(tip - chain.undo(5))
    eyes.open()
    assert eyes.look().seen() == Eyes(place, "fresh").look().seen()


def test_an_event_counts_only_once_it_is_buried_deep_enough(place):
    """So a reorganisation less deep than the confirmations changes nothing at all."""
    chain = Chain(place)
    eyes = Eyes(place, "followed", confirmations=4)
    chain.lead_to(TaskState.OPEN, eyes.look)
    chain.mine(2)
    opened = eyes.look().seen()
    assert opened["claimable"] == Eyes(place, "unburied").look().seen()["claimable"] != []
    chain.worker.send_and_wait(chain.market.claim_many(chain.ids[:1]))
    chain.mine(2)
    assert eyes.look().seen()["held"] == {}
    chain.undo(3)
    chain.mine(4)
    assert eyes.look().seen() == opened


def test_the_announcement_of_the_store_is_made_again_if_it_is_orphaned(place):
    chain = Chain(place)
    eyes = Eyes(place, "followed").look()
    chain.worker.send_and_wait(chain.market.announce_store("file:///answers"))
    assert eyes.look().database.meta(ANNOUNCED_STORE) == "file:///answers"
    chain.undo(1)
    chain.mine(2)
    assert eyes.look().database.meta(ANNOUNCED_STORE) == ""
