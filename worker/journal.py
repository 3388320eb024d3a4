"""The sender's journal inside the worker's database, so that a plan and what it is for become durable together."""

from contextlib import ExitStack

from chain.journal import Intent, IntentState, intent_from_json, intent_to_json
from worker.database import Database
from worker.outbox_rows import call_of
from worker.steps import Step

_STEPS = {
    IntentState.PLANNED: Step.PLAN,
    IntentState.SIGNED: Step.SIGN,
    IntentState.SENT: Step.NOTE_SENT,
    IntentState.MINED: Step.NOTE_MINED,
    IntentState.CONFIRMED: Step.NOTE_END,
    IntentState.DROPPED: Step.NOTE_END,
}


class DatabaseJournal:
    """A `chain.journal.Journal`; each `put` joins the database transaction it happens in.

    What is live is looked at many times a second: it is kept here as well, and read once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rollbacks = -1
        self._live: dict[str, Intent] = {}

    def get(self, key: str) -> Intent | None:
        self._read()
        if key in self._live:
            return self._live[key]
        document = self._database.intent(key)
        return None if document is None else intent_from_json(document)

    def put(self, *intents: Intent) -> None:
        with ExitStack() as together:
            for intent in intents:
                step = self._database.transaction(_STEPS[intent.state], call_of(intent.key))
                together.enter_context(step)
                document = intent_to_json(intent)
                self._database.save_intent(intent.key, document, live=not intent.ended)
        for intent in intents:
            if intent.ended:
                self._live.pop(intent.key, None)
            else:
                self._live[intent.key] = intent

    def live(self) -> list[Intent]:
        """Nothing that another thread has planned and not made durable yet."""
        with self._database.quiet():
            self._read()
            return list(self._live.values())

    def _read(self) -> None:
        """Anew after a transaction that came to nothing, in which something may have been put."""
        if self._rollbacks != self._database.rollbacks:
            self._rollbacks = self._database.rollbacks
            intents = map(intent_from_json, self._database.live_intents())
            self._live = {intent.key: intent for intent in intents}
