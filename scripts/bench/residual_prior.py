"""The prior of corrections (`metainf.corrector.PRIOR`), fitted to what the meta-model is off by on models left out.

For each machine of the shipped table and each model measured on it: of its others, each is left out in turn, and the
residuals of these are explained by the most likely prior (type II maximum likelihood, a weak prior of its own keeping
it from extremes). So each fit is one that a selector could have had before that model arrived. `prior` is the geometric
mean of all fits, `least` and `greatest` say how far they differ. Needs the `research` extra.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields

import numpy as np
from scipy.optimize import minimize

from metainf.alike import strategy_place, workload_place
from metainf.corrector import MOST_ERROR, Prior, covariances
from metainf.evaluate import read_any
from metainf.learner import member_residuals
from metainf.model import SHIPPED_TABLE
from metainf.problem import Floats, Problem

# Where the search begins; each logarithm is normal around it with this standard deviation.
START = Prior(
    level=0.17, workload=0.17, strategy=0.07, both=0.1, noise=0.07, workload_length=0.5, strategy_length=0.5
)
SPREAD = 1.5
STEPS = 15

# Of one model: the residuals, and where workloads and strategies stand.
_Block = tuple[Floats, Floats, Floats]


def blocks(known: Problem) -> Iterator[_Block]:
    """Of each model, by a meta-model that never saw it; in the order of `member_residuals`."""
    models = np.array(known.groups["model"])
    for model, residuals in zip(np.unique(models), member_residuals(known, "model"), strict=True):
        of_model = known.take((models == model) & np.isfinite(known.costs))
        named = [dict(zip(known.feature_names, row, strict=True)) for row in of_model.rows.tolist()]
        yield (
            np.clip(residuals, -MOST_ERROR, MOST_ERROR),
            np.array([workload_place(each) for each in named]),
            np.array([strategy_place(each) for each in named]),
        )


def fitted(of_models: list[_Block]) -> Prior:
    """The most likely one. Lengths and deviations are searched by their logarithms."""
    start = np.log(list(asdict(START).values()))

    def unlikeliness(logs: Floats) -> float:
        prior = Prior(*np.exp(logs).tolist())
        total = float((((logs - start) / SPREAD) ** 2).sum() / 2)
        for residuals, workloads, strategies in of_models:
            covariance = covariances(workloads, strategies, prior)
            lower = np.linalg.cholesky(covariance + prior.noise**2 * np.eye(len(residuals)))
            white = np.linalg.solve(lower, residuals)
            total += float(white @ white / 2 + np.log(np.diag(lower)).sum())
        return total

    bounds = [(value - 3 * SPREAD, value + 3 * SPREAD) for value in start]
    found = minimize(unlikeliness, start, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    return Prior(*np.exp(found.x).tolist())


def main() -> None:
    found: list[Prior] = []
    problem = read_any(SHIPPED_TABLE).contested()
    machines = np.array(problem.groups["hardware"])
    for machine in np.unique(machines):
        own = problem.take(machines == machine)
        models = np.array(own.groups["model"])
        for model in np.unique(models):
            found.append(fitted(list(blocks(own.take(models != model)))))
            print(f"{machine} without {model}: {found[-1]}", flush=True)
    every = np.array([list(asdict(each).values()) for each in found])
    names = [each.name for each in fields(Prior)]

    def named(values: Floats) -> dict[str, float]:
        return {name: float(f"{value:.2g}") for name, value in zip(names, values.tolist(), strict=True)}

    print(
        json.dumps(
            {
                "prior": named(np.exp(np.log(every).mean(axis=0))),
                "least": named(every.min(axis=0)),
                "greatest": named(every.max(axis=0)),
            }
        )
    )


if __name__ == "__main__":
    main()
