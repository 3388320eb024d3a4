# ruff: noqa: TC004 - the names in `__all__` come through `__getattr__`
"""The meta-learner: from what is known about a task to the strategy that runs it quickest.

Names are imported when they are first used: measuring must run where there is nothing but vLLM, NumPy and PyArrow.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metainf.catalogue import DEFAULT_NAME, catalogue
    from metainf.choice import Choice, Prediction, SelectionRecord, SelectionState
    from metainf.facts import HardwareFacts, ModelFacts, Workload
    from metainf.features import features
    from metainf.select import Selector
    from metainf.strategy import Strategy

_HOME = {
    "DEFAULT_NAME": "catalogue",
    "Choice": "choice",
    "HardwareFacts": "facts",
    "ModelFacts": "facts",
    "Prediction": "choice",
    "SelectionRecord": "choice",
    "SelectionState": "choice",
    "Selector": "select",
    "Strategy": "strategy",
    "Workload": "facts",
    "catalogue": "catalogue",
    "features": "features",
}

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


class _Package(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

    def __setattr__(self, name: str, value: object) -> None:
        # Importing `metainf.catalogue` would hide the function of that name behind its module.
        if name not in _HOME:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
