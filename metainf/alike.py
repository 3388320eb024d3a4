"""How alike two jobs are: where a workload and a strategy stand, by the features that the meta-model sees of them.

Features are on log scale, so that distances say by what factors two jobs differ.
"""

from collections.abc import Mapping
from math import log1p, sqrt

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.features import strategy_features, task_features
from metainf.settings import Settings
from metainf.strategy import Strategy

# A point in the space of one kind of feature; distances are root mean squares over its axes.
Place = tuple[float, ...]

_COUNTED = "strategy_draft_tokens"


def workload_place(named: Mapping[str, float]) -> Place:
    """Where a workload stands, from the features of a task."""
    return _place({name: value for name, value in named.items() if name.startswith("workload_")})


def strategy_place(named: Mapping[str, float]) -> Place:
    """Where a strategy stands, from its features."""
    own = {name: value for name, value in named.items() if name.startswith("strategy_")}
    if _COUNTED in own:
        own[_COUNTED] = log1p(own[_COUNTED])
    return _place(own)


def places(
    model: ModelFacts, hardware: HardwareFacts, workload: Workload, strategy: Strategy
) -> tuple[Place, Place]:
    """Where a job stands: its workload and its strategy."""
    return (
        workload_place(task_features(model, hardware, workload)),
        strategy_place(strategy_features(Settings.of(strategy))),
    )


def _place(named: Mapping[str, float]) -> Place:
    scale = sqrt(max(len(named), 1))
    return tuple(value / scale for value in named.values())
