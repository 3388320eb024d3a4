"""The engines that are up side by side, so that changing between them is free; which goes when room is short."""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine.base import EngineError
from metainf import Strategy
from worker.memory import Memory
from worker.models import ServedModel
from worker.resident import Resident

LOG = logging.getLogger("quern.worker.engine")


@dataclass(frozen=True, slots=True)
class Place:
    """An engine as eviction sees it. `worth` is the seconds of starting it again that its going would likely cost."""

    worth: float
    taken_bytes: int
    busy: bool


def evicted(
    places: Sequence[Place], needed_bytes: int, most: int, limit_bytes: int, free_bytes: int
) -> list[int] | None:
    """Which of `places` must go for one more engine: the least worth first, none with work inside.

    At most `most` engines, of `limit_bytes` together, and the new one within what is free now. None if what works must
    be waited for; an engine that would be alone is let in whatever it needs, for then nothing is left to make room.
    """
    going: list[int] = []
    idle = sorted(
        (index for index, place in enumerate(places) if not place.busy), key=lambda i: places[i].worth
    )

    def fits() -> bool:
        staying = [place.taken_bytes for index, place in enumerate(places) if index not in going]
        freed = sum(places[index].taken_bytes for index in going)
        return not staying or (
            len(staying) < most
            and sum(staying) + needed_bytes <= limit_bytes
            and needed_bytes <= free_bytes + freed
        )

    while not fits():
        if len(going) == len(idle):
            return None
        going.append(idle[len(going)])
    return going


class Fleet:
    """At most `most` engines, within `memory`. One thread changes it; any may `stop` it."""

    def __init__(self, most: int, memory: Memory) -> None:
        self._most = most
        self._memory = memory
        self._up: list[Resident] = []
        # By process, and in all with what is free; since an engine last came up or one was to make room.
        self._taken_bytes: dict[int, int] = {}
        self._room_bytes = 0
        self._starting: Resident | None = None
        self._stopped = False

    def __iter__(self) -> Iterator[Resident]:
        return iter(tuple(self._up))

    def __len__(self) -> int:
        return len(self._up)

    @property
    def busy(self) -> list[Resident]:
        """Those with work inside."""
        return [resident for resident in self._up if resident.prompts]

    @property
    def prompts(self) -> int:
        """In all engines together."""
        return sum(resident.prompts for resident in self._up)

    def find(self, model: ServedModel, strategy: Strategy) -> Resident | None:
        return next((resident for resident in self._up if resident.serves(model, strategy)), None)

    def strategies(self, model: ServedModel) -> tuple[str, ...]:
        """Names of those up for this model, in order."""
        return tuple(sorted(resident.strategy.name for resident in self._up if resident.model.id == model.id))

    def leaving(
        self, model: ServedModel, wanted_models: Collection[bytes], *, beside_work: bool
    ) -> tuple[str, ...]:
        """The strategies whose engines for this model one more start for it would end, by the memory last measured:
        where starts come beside engines at work, as things stand, if that is possible; else once all work is done.
        """
        going = self._going(model, wanted_models) if beside_work else None
        if going is None:
            going = self._going(model, wanted_models, waited=True) or []
        return tuple(resident.strategy.name for resident in going if resident.model.id == model.id)

    def make_room(self, model: ServedModel, wanted_models: Collection[bytes]) -> bool:
        """Let go what one more engine for the model needs gone; False if something that works must be waited for."""
        self._measure()
        going = self._going(model, wanted_models)
        if going is None:
            return False
        for resident in going:
            LOG.info("letting go of strategy %s of %s", resident.strategy.name, resident.model.path.name)
            self.remove(resident)
        return True

    def _going(
        self, model: ServedModel, wanted_models: Collection[bytes], *, waited: bool = False
    ) -> list[Resident] | None:
        """As `evicted` has it; with `waited` as if nothing were at work."""
        now, memory = time.monotonic(), self._memory
        places = [
            Place(
                resident.worth(now, wanted=resident.model.id in wanted_models),
                self._taken_bytes[resident.pid],
                busy=bool(resident.prompts) and not waited,
            )
            for resident in self._up
        ]
        needed = memory.needed_bytes(model.facts)
        free = self._room_bytes - sum(place.taken_bytes for place in places)
        going = evicted(places, needed, self._most, memory.limit_bytes, free)
        return None if going is None else [self._up[index] for index in going]

    def _measure(self) -> None:
        """Not for each feed: it takes a hundredth of a second for each GiB, and more on a GPU."""
        self._taken_bytes = {each.pid: self._memory.taken_bytes(each.pid) for each in self._up}
        self._room_bytes = self._memory.free_bytes() + sum(self._taken_bytes.values())

    def start(self, resident: Resident, timeout_secs: float) -> None:
        """Bring it up. Raises EngineError, and then it is gone."""
        self._starting = resident
        if self._stopped:
            resident.stop()
        try:
            resident.start(timeout_secs)
        except EngineError:
            resident.stop()
            raise
        finally:
            self._starting = None
        self._up.append(resident)
        self._measure()

    def fallen(self) -> list[tuple[Resident, EngineError]]:
        """Idle ones whose process ended by itself; they are taken out."""
        found: list[tuple[Resident, EngineError]] = []
        for resident in self._up:
            if not resident.prompts:
                try:
                    resident.check()
                except EngineError as error:
                    found.append((resident, error))
        for resident, _ in found:
            self.remove(resident)
        return found

    def remove(self, resident: Resident) -> None:
        """Stop it, whatever it is doing."""
        if resident in self._up:
            self._up.remove(resident)
        resident.stop()

    def stop(self) -> None:
        """All of them, also one that is just starting."""
        self._stopped = True
        for resident in (*self._up, *([self._starting] if self._starting is not None else [])):
            resident.stop()
