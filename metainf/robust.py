"""A standard deviation that a few odd values do not move."""

from collections.abc import Iterable
from statistics import median

# The standard deviation of a normal distribution over its median absolute deviation.
_NORMAL_PER_MEDIAN = 1.4826


def deviation(errors: Iterable[float]) -> float:
    """Of errors around zero: their median absolute value, scaled to be a standard deviation where they are normal."""
    return _NORMAL_PER_MEDIAN * median(map(abs, errors))
