"""The worker's transactions: each durable together with the tasks it is for, before it is signed."""

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from chain.call import Call as MarketCall
from chain.journal import Intent
from chain.sender import Sender
from protocol.digest import JsonValue, to_hex
from protocol.errors import QuernError
from worker.artefacts import Call
from worker.database import Database
from worker.outbox_rows import Sending, key_of
from worker.steps import Step

LOG = logging.getLogger("quern.worker")
# Calls for many skip what has changed and never revert: trying them first would tell nothing.
_FOR_MANY = frozenset({Call.CLAIM, Call.POST, Call.SETTLE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A transaction that is over: `taken` if it was mined and did not revert, in `block`."""

    sending: Sending
    taken: bool
    block: int
    tx_hash: bytes


class Outbox:
    """`send` and `take` belong to the worker, who holds `lock`; `pump` to the one thread that sends, which never does:
    the node keeps it waiting. `planned` says that something waits for it.
    """

    def __init__(self, sender: Sender, database: Database, lock: threading.RLock) -> None:
        self._sender = sender
        self._database = database
        self._lock = lock
        self._serial = 0
        self._heard = threading.Lock()
        self._outcomes: list[Outcome] = []
        self._open = {sending.key: sending for sending in database.sendings()}
        self.planned = bool(self._open)
        self._note_outcomes(self._unheard())

    @property
    def open(self) -> Sequence[Sending]:
        """Transactions whose outcome has not been taken in."""
        return tuple(self._open.values())

    def under_way(self, call: Call) -> bool:
        return any(sending.call is call for sending in self.open)

    def send(
        self,
        call: Call,
        market_call: MarketCall,
        task_ids: Sequence[bytes] = (),
        *,
        gas_limit: int = 0,
        request: int | None = None,
        leaf: int | None = None,
        worth_wei: int = 0,
    ) -> None:
        """Plan a transaction durably, with the tasks it is for, and the request or demand it answers. Without a limit
        its gas is estimated. If it has to be replaced, all its gas may cost `worth_wei`, unless that is 0.
        """
        with self._lock:
            self._serial += 1
            sending = Sending(key_of(call, self._serial), call, tuple(task_ids), request, leaf)
            with self._database.transaction(Step.PLAN, call):
                self._database.open_sending(sending)
                simulate = call not in _FOR_MANY
                self._sender.plan(
                    sending.key, market_call, gas_limit=gas_limit, simulate=simulate, worth_wei=worth_wei
                )
                # Before it is durable, for then the other thread may have it and be done with it at once.
                self._open[sending.key] = sending
            self.planned = True

    def pump(self) -> bool:
        """Sign, send and learn outcomes; whether there are outcomes to take. Raises what the sender raises, and then
        what was planned still is.
        """
        self.planned = False
        try:
            ended = self._sender.pump()
        except QuernError:
            self.planned = True
            self._note_outcomes(self._unheard())
            raise
        self._note_outcomes(ended)
        return bool(ended)

    def take(self, block_taken_in: int) -> list[Outcome]:
        """Outcomes up to that block. A transaction is over once its block's events are known: only then does
        `decide` see its effect.
        """
        with self._heard:
            seen = [outcome for outcome in self._outcomes if outcome.block <= block_taken_in]
            self._outcomes = [outcome for outcome in self._outcomes if outcome.block > block_taken_in]
        for outcome in seen:
            self._open.pop(outcome.sending.key, None)
        return seen

    def rewound(self, block_taken_in: int) -> None:
        """Blocks after that one are orphaned, and a branch that is shorter may never be as long: what became of the
        transactions in them is known as far as it can be.
        """
        with self._heard:
            self._outcomes = [
                replace(outcome, block=min(outcome.block, block_taken_in)) for outcome in self._outcomes
            ]

    def _unheard(self) -> list[Intent]:
        """Outcomes the journal has and this worker never heard of: the step that learned them did not return."""
        with self._heard:
            noted = {outcome.sending.key for outcome in self._outcomes}
        intents = (self._sender.intent(sending.key) for sending in self.open if sending.key not in noted)
        return [intent for intent in intents if intent is not None and intent.ended]

    def _note_outcomes(self, ended: Sequence[Intent]) -> None:
        """Durable before anything is decided on it."""
        closing = [(intent, self._open[intent.key]) for intent in ended if intent.key in self._open]
        with ExitStack() as together:
            for intent, sending in closing:
                together.enter_context(self._database.transaction(Step.CLOSE, sending.call))
                self._close(intent, sending)
        with self._heard:
            self._outcomes += [_outcome_of(intent, sending) for intent, sending in closing]

    def _close(self, intent: Intent, sending: Sending) -> None:
        receipt = intent.receipt
        self._database.close_sending(intent.key, 0 if receipt is None else receipt.fee_wei)
        if not intent.succeeded:
            LOG.warning("%s transaction had no effect: %s", sending.call.value, intent.reason or "reverted")
        if sending.request is not None:
            self._database.answer(sending.request, _answer(intent))


def _outcome_of(intent: Intent, sending: Sending) -> Outcome:
    receipt = intent.receipt
    block, tx_hash = (0, b"") if receipt is None else (receipt.block_number, receipt.tx_hash)
    return Outcome(sending, intent.succeeded, block, tx_hash)


def _answer(intent: Intent) -> dict[str, JsonValue]:
    if intent.succeeded and intent.receipt is not None:
        return {"tx_hash": to_hex(intent.receipt.tx_hash)}
    return {"error": "the transaction was not carried out; see `quern worker status`"}
