"""The meta-learner: from what is known about a task to the strategy that runs it quickest."""

from metainf.catalogue import DEFAULT_NAME, catalogue
from metainf.choice import Choice, Prediction, SelectionRecord, SelectionState
from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.features import features
from metainf.select import Selector
from metainf.strategy import Strategy

__all__ = [
    "DEFAULT_NAME",
    "Choice",
    "HardwareFacts",
    "ModelFacts",
    "Prediction",
    "SelectionRecord",
    "SelectionState",
    "Selector",
    "Strategy",
    "Workload",
    "catalogue",
    "features",
]
