"""By how much the meta-model is off on a job that has not run, from those that have: Gaussian process regression of
their residuals (Rasmussen and Williams, 2006, chapter 2).

A residual is taken to be a sum: what all jobs of this machine and kind of model are off by, what those of a like
workload are, those of a like strategy, those alike in both, and noise. Only the strategy that ran is observed, so one
job that took long says mostly that such work takes long here, and a little that its strategy is the wrong one; a second
strategy on like work tells the two apart. So what is less known counts a little less where strategies are compared
(optimism in the face of uncertainty): between two that look alike, the one that would teach more is taken. What is
expected of a job, and its bound, are as the jobs have it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from metainf.alike import Place
from metainf.online import Residual
from metainf.problem import Floats

# Older jobs than so many are forgotten.
REMEMBERED_JOBS = 128
# One job's error counts as at most this much (log): a stuck machine is no news about a strategy.
MOST_ERROR = 1.5
# Of the standard deviation by which a strategy is less known than the best known one, so much is taken off its
# log seconds in comparisons. What was never tried gains 5 %: as much as counts as no difference (`rule`).
_OPTIMISM = 0.15
# A job so many standard deviations from what the others say of it pulls no harder, however far it is (Huber).
_UNLIKELY = 3.0


@dataclass(frozen=True, slots=True)
class Prior:
    """How far a meta-model is off on a model that it never saw: standard deviations of log seconds of each part, and
    the root mean square distances over which likeness fades, in log features.
    """

    level: float
    workload: float
    strategy: float
    both: float
    noise: float
    workload_length: float
    strategy_length: float

    @property
    def variance(self) -> float:
        """Of a residual, without noise."""
        return self.level**2 + self.workload**2 + self.strategy**2 + self.both**2


# Of an earlier edition of the shipped table, each model left out in turn; `scripts/bench/prior` fits it anew.
PRIOR = Prior(
    level=0.2,
    workload=0.13,
    strategy=0.06,
    both=0.34,
    noise=0.053,
    workload_length=0.66,
    strategy_length=4.1,
)


@dataclass(frozen=True, slots=True)
class Corrections:
    """By strategy: `log` is what to add to the predicted log seconds of a job, the empty name what all strategies have
    in common; `optimism_ratio` the share of a run that does not count in comparisons, missing where it is nothing.
    """

    log: Mapping[str, float]
    optimism_ratio: Mapping[str, float]


@dataclass(frozen=True)
class Corrector:
    """What the jobs of one machine and one model family say; equal where they are."""

    residuals: tuple[Residual, ...]
    prior: Prior = PRIOR
    _weights: Floats = field(init=False, repr=False, compare=False)
    _precision: Floats = field(init=False, repr=False, compare=False)
    _workloads: Floats = field(init=False, repr=False, compare=False)
    _strategies: Floats = field(init=False, repr=False, compare=False)
    # By the places of strategies that were asked about: a caller has the same ones each time.
    _similar: dict[tuple[Place, ...], Floats] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_workloads", np.array([each.workload for each in self.residuals]))
        object.__setattr__(self, "_strategies", np.array([each.settings for each in self.residuals]))
        errors = np.clip([each.log_ratio for each in self.residuals], -MOST_ERROR, MOST_ERROR)
        object.__setattr__(self, "_precision", self._inverse(errors))
        object.__setattr__(self, "_weights", self._precision @ errors)

    @classmethod
    def of(cls, residuals: Iterable[Residual], prior: Prior = PRIOR) -> "Corrector":
        """From the latest of them, whatever their order; one that is no finite number says nothing."""
        ordered = sorted(
            (each for each in residuals if isfinite(each.log_ratio)),
            key=lambda each: (each.at, each.strategy, each.log_ratio),
        )
        return cls(tuple(ordered[-REMEMBERED_JOBS:]), prior)

    def corrections(self, workload: Place, strategies: Mapping[str, Place]) -> Corrections:
        """For a job of this workload. Four digits, so that a record stays short."""
        if not self.residuals or not strategies:
            return Corrections({}, {})
        covariance, common = self._with_jobs(workload, tuple(strategies.values()))
        means = covariance @ self._weights
        explained = ((covariance @ self._precision) * covariance).sum(axis=1)
        spreads = np.sqrt(np.maximum(self.prior.variance - explained, 0.0))
        log = {"": float(common @ self._weights), **dict(zip(strategies, means.tolist(), strict=True))}
        optimism = (-np.expm1(_OPTIMISM * (spreads.min() - spreads))).round(4).tolist()
        return Corrections(
            {name: round(value, 4) for name, value in log.items()},
            {name: ratio for name, ratio in zip(strategies, optimism, strict=True) if ratio},
        )

    def mean(self, job: Residual) -> float:
        """The expected residual of a job that is none of those."""
        if not self.residuals:
            return 0.0
        covariance, _ = self._with_jobs(job.workload, (job.settings,))
        return float(covariance[0] @ self._weights)

    def _with_jobs(self, workload: Place, strategies: tuple[Place, ...]) -> tuple[Floats, Floats]:
        """Covariances of k strategies on a workload with the n jobs, k x n, and the part that they have in common."""
        similar = self._similar.get(strategies)
        if similar is None:
            similar = _fading(np.array(strategies), self._strategies, self.prior.strategy_length)
            self._similar[strategies] = similar
        alike = _fading(np.array([workload]), self._workloads, self.prior.workload_length)
        return _covariances(alike, similar, self.prior), _common(alike, self.prior)[0]

    def _inverse(self, errors: Floats) -> Floats:
        """Of the covariances of the jobs, n x n, with more noise for those that the others make unlikely."""
        if not len(errors):
            return np.zeros((0, 0))
        covariance = covariances(self._workloads, self._strategies, self.prior)
        noise = np.full(len(errors), self.prior.noise**2)
        inverse = np.linalg.inv(covariance + np.diag(noise))
        # Leave-one-out residuals and their deviations (Rasmussen and Williams, equations 5.10 to 5.12).
        left_out, spread = (inverse @ errors) / np.diag(inverse), 1 / np.sqrt(np.diag(inverse))
        beyond = np.maximum(np.abs(left_out) / (_UNLIKELY * spread), 1.0)
        return np.linalg.inv(covariance + np.diag(noise + spread**2 * (beyond - 1.0)))


def covariances(workloads: Floats, strategies: Floats, prior: Prior) -> Floats:
    """Of the residuals of n jobs, without noise: n x n, from n places of workloads and of strategies."""
    alike = _fading(workloads, workloads, prior.workload_length)
    return _covariances(alike, _fading(strategies, strategies, prior.strategy_length), prior)


def _covariances(alike: Floats, similar: Floats, prior: Prior) -> Floats:
    own: Floats = (prior.strategy**2 + prior.both**2 * alike) * similar
    return _common(alike, prior) + own


def _common(alike: Floats, prior: Prior) -> Floats:
    found: Floats = prior.level**2 + prior.workload**2 * alike
    return found


def _fading(these: Floats, those: Floats, length: float) -> Floats:
    """exp(-distance / length) of each pair: the rough kernel of Ornstein and Uhlenbeck, sure of near places only."""
    squares = ((these[:, None, :] - those[None, :, :]) ** 2).sum(axis=-1)
    found: Floats = np.exp(-np.sqrt(squares) / length)
    return found
