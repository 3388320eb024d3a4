"""The sender's journal inside the worker's database, so that a plan and what it is for become durable together."""

from chain.journal import Intent, intent_from_json, intent_to_json
from worker.database import Database


class DatabaseJournal:
    """A `chain.journal.Journal`; each `put` joins the database transaction it happens in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Intent | None:
        document = self._database.intent(key)
        return None if document is None else intent_from_json(document)

    def put(self, intent: Intent) -> None:
        self._database.save_intent(intent.key, intent_to_json(intent), live=not intent.ended)

    def live(self) -> list[Intent]:
        return [intent_from_json(document) for document in self._database.live_intents()]
