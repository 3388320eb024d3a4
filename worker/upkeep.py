"""What a running worker does by the clock beside deciding: requests of its operator, its store's address, old rows."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from chain.market import Market
from worker.artefacts import Call
from worker.control import answer_requests
from worker.database import Database
from worker.follow import ANNOUNCED_STORE
from worker.outbox import Outbox
from worker.policy import Clock
from worker.view import View

_DAY_SECS = 86_400


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Every method but `announce` takes `lock`, before the database's own; whoever calls `announce` holds it."""

    market: Market
    outbox: Outbox
    view: View
    database: Database
    lock: threading.RLock
    clock: Callable[[], Clock]
    store_url: str
    keep_days: float

    def announce(self) -> None:
        """Where the answers are, unless the chain says so already."""
        announced = self.database.meta(ANNOUNCED_STORE)
        if announced != self.store_url and not self.outbox.under_way(Call.ANNOUNCE):
            self.outbox.send(Call.ANNOUNCE, self.market.announce_store(self.store_url))

    def answer(self) -> None:
        """Carry out what other processes have asked for."""
        with self.lock:
            answer_requests(self.database, self.outbox, self.market, self.view)

    def clean_up(self) -> None:
        """Forget what ended: from the view at once, from the database after `keep_days` of the chain's clock."""
        with self.lock:
            # A reorganisation may have taken it back.
            self.announce()
            self.view.drop_ended()
            self.database.drop_result_bytes()
            self.database.forget_ended_before(int(self.clock().chain_secs - self.keep_days * _DAY_SECS))
