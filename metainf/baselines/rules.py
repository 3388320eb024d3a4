"""Expert rules: what a person who knows the alternatives would say, written down as a list.

A rule book is for one kind of alternative; it is used where a problem offers what it names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from metainf.baselines.fixed import SingleBest
from metainf.problem import Floats, Problem


@dataclass(frozen=True, slots=True)
class Rule:
    """Take the first of `take` that is offered where every named feature is at least the value given with it."""

    take: tuple[str, ...]
    at_least: tuple[tuple[str, float], ...] = ()


# vLLM on one CPU thread, from its documentation: drafts help one greedy request at a time, most where its text
# repeats itself; small cache blocks share more of a common prefix; compiled graphs quicken every step.
VLLM_ON_CPU: tuple[Rule, ...] = (
    Rule(("ngram-4",), (("workload_ngram_overlap", 0.5), ("workload_greedy_ratio", 1.0))),
    Rule(("block-32",), (("workload_shared_prefix_ratio", 0.3),)),
    Rule(("compiled", "vllm-default")),
)

# Serving frameworks on accelerators, from their vendors' own advice: NVIDIA's for NVIDIA, vLLM for every other.
FRAMEWORKS: tuple[Rule, ...] = (
    Rule(("TensorRT-LLM",), (("t_hardware_is_nvidia", 1.0),)),
    Rule(("vLLM", "TensorRT-LLM", "llama.cpp")),
)


def rule_book(problem: Problem) -> tuple[Rule, ...]:
    """The rules written for the alternatives of this problem; none if nobody wrote any."""
    offered = set(problem.alternatives)
    known = set(problem.feature_names)
    for book in (VLLM_ON_CPU, FRAMEWORKS):
        if all(offered & set(rule.take) and {name for name, _ in rule.at_least} <= known for rule in book):
            return book
    return ()


class ExpertRules:
    """The first rule that fits a task decides; the single best where none does."""

    def __init__(self, book: Sequence[Rule]) -> None:
        self._book = tuple(book)

    def fit(self, problem: Problem) -> Self:
        """Experience only ranks what no rule names."""
        self._otherwise = SingleBest().fit(problem)
        return self

    def predict(self, problem: Problem) -> Floats:
        """-infinity for what a rule takes, else the ranking of the single best."""
        scores = self._otherwise.predict(problem)
        for indices in problem.tasks.values():
            taken = self._taken(problem, indices)
            if taken is not None:
                scores[taken] = -np.inf
        return scores

    def _taken(
        self, problem: Problem, indices: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    ) -> int | None:
        named = {problem.alternatives[index]: int(index) for index in indices}
        features = dict(zip(problem.feature_names, problem.rows[indices[0]].tolist(), strict=True))
        for rule in self._book:
            if all(features[name] >= least for name, least in rule.at_least):
                offered = [named[name] for name in rule.take if name in named]
                if offered:
                    return offered[0]
        return None
