"""Now and then taking what is not expected to be best, because nothing is learned about what never runs.

Bounded three ways: only so many choices in a million, only candidates that are expected to cost little more, and
never when a deadline is near. Whether a choice explores follows from a lot the caller draws and records, so it can be
made again; its propensity, the probability with which this strategy was taken, is recorded too, so that what was
learned can be weighed rightly afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LOTS = 1_000_000
# What an exploring choice may cost over the best, restart included.
MOST_EXTRA_RATIO = 0.25
# Of the time to the deadline, a bound may use this share.
MOST_OF_DEADLINE = 0.5


@dataclass(frozen=True, slots=True)
class Exploration:
    """`share_ppm` choices in a million explore; `lot`, below a million, is this choice's."""

    share_ppm: int = 0
    lot: int = 0

    def pick(self, best: int, eligible: Sequence[int]) -> tuple[int, float]:
        """Index to take and its propensity: one of the eligible if the lot says so, each alike, else the best."""
        if not self.share_ppm or not eligible:
            return best, 1.0
        share = self.share_ppm / LOTS
        if self.lot >= self.share_ppm:
            return best, 1.0 - share
        return eligible[self.lot * len(eligible) // self.share_ppm], share / len(eligible)


NO_EXPLORATION = Exploration()
