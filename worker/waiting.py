"""Which of the waiting jobs go to an engine together."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from worker.jobs import Job


@dataclass(frozen=True, slots=True)
class Room:
    """What engines may take besides what is `inside` them, in prompts. `tokens_of` says how many tokens of the KV cache
    a job will likely need, `kv_tokens` how many are free in the engine that serves it.
    """

    inside: int
    slots: int
    tokens_of: Callable[[Job], int]
    kv_tokens: Callable[[Job], int]


def next_group(waiting: Iterable[Job], room: Room, kind: Callable[[Job], Hashable]) -> list[Job]:
    """The first job and those behind it that go along: of one kind, for which one choice serves all, with room left.

    A job that failed before goes alone; one larger than all room goes when nothing is inside.
    """
    slots, kv_tokens = room.slots - room.inside, 0
    group: list[Job] = []
    for job in waiting:
        alone = job.attempts > 0
        if group and (alone or kind(job) != kind(group[0])):
            break
        if alone and room.inside:
            break
        if not group:
            kv_tokens = room.kv_tokens(job)
        if (job.prompts > slots or room.tokens_of(job) > kv_tokens) and (group or room.inside):
            break
        group.append(job)
        slots -= job.prompts
        kv_tokens -= room.tokens_of(job)
        if alone:
            break
    return group
