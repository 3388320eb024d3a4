"""Equivalence classes: which of this worker's strategies belong to the class that a task asks for."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from chain.store import ContentMismatch, ContentMissing, ContentStore, StoreUnavailable, TooLarge
from engine.base import EngineFacts
from metainf import Strategy
from protocol.digest import BadDigest, JsonValue, MalformedJson
from protocol.equivalence import MAX_CLASS_BYTES, BadEquivalence, EquivalenceClass, class_key
from worker.codes import Reason
from worker.database import Database
from worker.models import ServedModel
from worker.refusals import InputRefused, StoreAway
from worker.steps import Step

_CACHED_CLASSES = 256


class Classes:
    """What an engine will say of itself is known from its last start; before the first, as far as the settings tell.

    `foreseen` gives those facts for a model. Thread-safe.
    """

    def __init__(
        self,
        store: ContentStore,
        database: Database,
        strategies: Sequence[Strategy],
        foreseen: Callable[[ServedModel], Mapping[str, JsonValue]],
    ) -> None:
        self._store = store
        self._database = database
        self._strategies = tuple(strategies)
        self._foreseen = foreseen
        self._fetched = lru_cache(_CACHED_CLASSES)(self._fetch)

    def read(self, digest: bytes) -> EquivalenceClass:
        """The class of that digest. Raises InputRefused, StoreAway."""
        return self._fetched(digest)

    def strategies(self, wanted: EquivalenceClass, model: ServedModel) -> tuple[str, ...]:
        """Names of the strategies of the class that this worker may run. Raises InputRefused if there are none."""
        named = [
            each for each in self._strategies if wanted.admits_strategy(bytes.fromhex(each.digest()[2:]))
        ]
        admitted = tuple(each.name for each in named if wanted.admits_engine(self._facts(model, each.name)))
        if admitted:
            return admitted
        if not named:
            raise InputRefused(Reason("CLAIM-009", "none of its strategies is in this worker's catalogue"))
        facts = self._facts(model, named[0].name)
        differing = sorted(name for name, value in wanted.engine.items() if facts.get(name) != value)
        raise InputRefused(Reason("CLAIM-009", f"this engine differs in {', '.join(differing)}"))

    def learn(self, model: ServedModel, strategy: str, facts: EngineFacts) -> None:
        """What an engine that started says of itself."""
        with self._database.transaction(Step.LEARN):
            self._database.set_meta(_name(model, strategy), json.dumps(facts.digestible()))

    def _facts(self, model: ServedModel, strategy: str) -> Mapping[str, JsonValue]:
        known = self._database.meta(_name(model, strategy))
        facts: Mapping[str, JsonValue] = self._foreseen(model) if known is None else json.loads(known)
        return facts

    def _fetch(self, digest: bytes) -> EquivalenceClass:
        try:
            return EquivalenceClass.decode(
                self._store.get_checked(class_key(digest), digest, MAX_CLASS_BYTES)
            )
        except StoreUnavailable as error:
            raise StoreAway(str(error)) from error
        except (
            ContentMissing,
            ContentMismatch,
            TooLarge,
            BadEquivalence,
            BadDigest,
            MalformedJson,
        ) as error:
            raise InputRefused(Reason("FETCH-010", f"class 0x{digest.hex()}: {error}")) from error


def _name(model: ServedModel, strategy: str) -> str:
    return f"engine_facts {model.id.hex()} {strategy}"
