"""Learning from jobs that were really run: a correction at once, a new meta-model only if it is better.

A residual is log(measured / predicted) of one job. Residuals of one machine and one kind of model say by how much
the meta-model is off there (`metainf.corrector`). A correction is plain numbers: it goes into the record of every
choice made with it, so that an auditor can make the choice again without knowing what it was learned from.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import fmean, variance

import numpy as np

from metainf.alike import Place
from metainf.facts import ModelFacts

LEAST_DRIFT_JOBS = 8
# Welch's statistic beyond which two versions are called different; about one in a thousand by chance.
_DRIFT_STATISTIC = 3.3
_LEAST_DRIFT = 0.05

LEAST_JUDGED_JOBS = 20
_RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Residual:
    """One job that had the machine to itself: where and how it ran, log(measured / predicted) seconds, and when it
    ended in unix seconds. The prediction is the meta-model's own, before any correction; `workload` and `settings` say
    where the job and its strategy stand among others (`metainf.alike`).
    """

    hardware: str
    model_family: str
    strategy: str
    engine_version: str
    log_ratio: float
    at: float
    workload: Place
    settings: Place


def model_family(model: ModelFacts) -> str:
    """Models that are alike to an engine: of one shape of layers, weights and vocabulary."""
    experts = f", {model.experts} experts" if model.experts else ""
    return f"{model.layers} layers of {model.hidden}, vocabulary {model.vocab}, {model.dtype}{experts}"


def drifted(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether residuals changed from one version of an engine to the next: Welch's test of their means, and a change
    of more than 5 %. Too few jobs tell nothing.
    """
    if min(len(before), len(after)) < LEAST_DRIFT_JOBS:
        return False
    change = fmean(after) - fmean(before)
    spread = sqrt(variance(before) / len(before) + variance(after) / len(after))
    return abs(change) > max(_LEAST_DRIFT, _DRIFT_STATISTIC * spread)


def still_valid(residuals: Sequence[Residual]) -> list[Residual]:
    """Those of the version that ran last, and of earlier ones from which it did not drift away, in order of time."""
    versions = valid_versions(residuals)
    kept = [residual for residual in residuals if residual.engine_version in versions]
    return sorted(kept, key=lambda each: each.at)


def valid_versions(residuals: Sequence[Residual]) -> frozenset[str]:
    """The engine's version that ran last, and those whose residuals are like its own. All are of one machine and one
    model family.
    """
    by_version: dict[str, list[Residual]] = defaultdict(list)
    for residual in sorted(residuals, key=lambda each: each.at):
        by_version[residual.engine_version].append(residual)
    if not by_version:
        return frozenset()
    current = max(by_version, key=lambda version: by_version[version][-1].at)
    of_current = by_version[current]
    return frozenset(
        version
        for version, older in by_version.items()
        if version == current or not drifted(_ratios(older), _ratios(of_current))
    )


def _ratios(residuals: Iterable[Residual]) -> list[float]:
    return [residual.log_ratio for residual in residuals]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a challenger replaces the champion, judged on jobs that neither has learned from.

    `gain` is by how much its mean absolute log error is smaller, `gain_low` the lower end of a 90 % bootstrap interval.
    """

    jobs: int
    champion_error: float
    challenger_error: float
    gain: float
    gain_low: float

    @property
    def promoted(self) -> bool:
        """Only what is better beyond chance, on enough jobs."""
        return self.jobs >= LEAST_JUDGED_JOBS and self.gain_low > 0

    def sentence(self) -> str:
        """For a person."""
        said = (
            f"on {self.jobs} recent jobs the champion is off by {_percent(self.champion_error)}, the challenger by "
            f"{_percent(self.challenger_error)}"
        )
        if self.jobs < LEAST_JUDGED_JOBS:
            return f"{said}: fewer than {LEAST_JUDGED_JOBS} jobs decide nothing"
        return f"{said}: {'the challenger is better' if self.promoted else 'the difference may be chance'}"


def _percent(log_error: float) -> str:
    return f"{exp(log_error) - 1:.1%}"


def judge(champion_errors: Sequence[float], challenger_errors: Sequence[float]) -> Verdict:
    """Compare log errors of the same jobs, in the same order."""
    champion, challenger = np.abs(np.array(champion_errors)), np.abs(np.array(challenger_errors))
    gains = champion - challenger
    if not len(gains):
        return Verdict(0, 0.0, 0.0, 0.0, 0.0)
    rng = np.random.default_rng(0)
    means = gains[rng.integers(0, len(gains), size=(_RESAMPLES, len(gains)))].mean(axis=1)
    return Verdict(
        jobs=len(gains),
        champion_error=float(champion.mean()),
        challenger_error=float(challenger.mean()),
        gain=float(gains.mean()),
        gain_low=float(np.quantile(means, 0.05)),
    )


def corrected(log_secs: float, strategy: str, by_strategy: Mapping[str, float]) -> float:
    """A predicted log time as the jobs of this machine correct it."""
    return log_secs + by_strategy.get(strategy, by_strategy.get("", 0.0))
