"""How good the selector is: on the shipped table and in the paper's experiment, or on LLM-Inference-Bench.

Prints a table per split; the last line is one JSON object with `gap_closed_log` and `slowdown` of each method
by what is judged and split. `--page FILE` also writes everything, with where it comes from, as a page.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from metainf.baselines.fixed import SingleBest
from metainf.catalogue import DEFAULT_NAME
from metainf.costs import Cost, costs
from metainf.descriptions import encoder, encoder_dir, problems
from metainf.errors import ResearchExtraMissing
from metainf.evaluate import (
    SBS,
    SELECTOR,
    Evaluation,
    evaluate,
    evaluate_folds,
    methods_for,
    read_any,
)
from metainf.learner import Learned
from metainf.llm_inference_bench import DEFAULT_FRAMEWORK, import_table
from metainf.model import SHIPPED_TABLE, MetaModel
from metainf.problem import RANDOM, Problem, splits
from metainf.repeats import clairvoyant_loss_log, held_out, runs_of
from metainf.report import to_markdown
from metainf.restarts import costs_net_of_restarts
from metainf.table import file_sha256, read_table
from scripts.bench.selection_plots import draw

TEMPLATES = Path(__file__).parent
ARMS = ("paper-batching", "paper-caching", "paper-chunked", DEFAULT_NAME)
# Accuracy, F1 and acceleration ratio as published (arXiv 2508.09194); of MetaInf itself only the first is known here.
PUBLISHED = {
    "ISAC": "0.578 / 0.60 / 1.10",
    "ALORS": "0.725 / 0.71 / 1.20",
    "random forest": "0.742 / 0.69 / 1.25",
    "gradient boosting": "0.815 / 0.78 / 1.30",
    "best label": "0.898 / - / - (MetaInf)",
    SELECTOR: "",
}
JOBS = (1, 10, 100, 1000)


def acceleration_by_family(evaluation: Evaluation, problem: Problem) -> str:
    family = dict(zip(problem.task_ids, problem.groups["workload_family"], strict=True))
    logs: dict[str, list[float]] = {}
    for outcome in evaluation.outcomes[RANDOM][SELECTOR]:
        logs.setdefault(family[outcome.task_id], []).append(outcome.acceleration_log)
    lines = ["| family | tasks | selector over vLLM's default |", "| --- | --- | --- |"]
    lines += [
        f"| {name} | {len(found)} | {np.exp(np.mean(found)):.2f}x |" for name, found in sorted(logs.items())
    ]
    return "\n".join(lines)


def restarts(problem: Problem) -> str:
    starts = dict(MetaModel.load().start_secs)
    columns = costs_net_of_restarts(problem, starts, JOBS)
    lines = [
        f"| total over the oracle's | {' | '.join(f'{jobs} jobs in a row' for jobs in JOBS)} |",
        f"| --- |{' --- |' * len(JOBS)}",
    ]
    lines += [
        f"| {way} | {' | '.join(f'{columns[jobs][way]:.3f}' for jobs in JOBS)} |" for way in columns[JOBS[0]]
    ]
    return "\n".join(lines)


def of_noise(evaluation: Evaluation) -> str:
    """What the repeats of the table say of its splits: what a clairvoyant closes, and what is closed on other runs."""
    headings = (
        "split",
        "selector: gap closed, as above",
        "a clairvoyant's",
        "held out: selector ahead of SBS (log)",
        "oracle ahead of SBS (log)",
        "gap closed (95 %)",
        "tasks",
    )
    lines = [f"| {' | '.join(headings)} |", "|" + " --- |" * len(headings)]
    runs = runs_of(read_table(SHIPPED_TABLE))
    charged = dict(zip(runs, clairvoyant_loss_log(runs).tolist(), strict=True))
    for split, found in evaluation.outcomes.items():
        lost = np.mean([charged[outcome.task_id] for outcome in found[SBS]])
        of_sbs = np.mean([outcome.log_slowdown for outcome in found[SBS]])
        half = held_out(runs, found[SELECTOR], found[SBS])
        cells = (
            split,
            f"{evaluation.scores[split][SELECTOR].gap_closed_log:.3f}",
            f"{1 - lost / of_sbs:.3f}",
            f"{half.ahead_log:.4f}",
            f"{half.oracle_ahead_log:.4f}",
            f"{half.gap_closed:.2f} ({half.gap_closed_low:.2f} to {half.gap_closed_high:.2f})",
            str(half.tasks),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def papers_experiment(problem: Problem) -> tuple[str, Evaluation]:
    """Its four arms on our tasks: the table beside the published one."""
    arms = problem.take(np.isin(np.array(problem.alternatives), ARMS)).contested()
    methods = {name: make for name, make in methods_for(arms).items() if name in (*PUBLISHED, "SBS", "VBS")}
    judged = evaluate_folds({RANDOM: splits(arms)[RANDOM]}, methods)
    lines = [
        "| method | published: accuracy / F1 / ratio | here: accuracy / F1 / ratio | slowdown |",
        "|" + " --- |" * 4,
    ]
    for name, score in judged.scores[RANDOM].items():
        ratio = _over_batching(judged, arms, name)
        lines.append(
            f"| {name} | {PUBLISHED.get(name, '')} | {score.top1_accuracy:.3f} / {score.f1:.2f} / {ratio:.2f} "
            f"| {score.slowdown:.3f} |"
        )
    return "\n".join(lines), judged


def _over_batching(judged: Evaluation, arms: Problem, name: str) -> float:
    """Geometric mean of the cost of continuous batching alone over the cost taken."""
    cost = dict(zip(zip(arms.task_ids, arms.alternatives, strict=True), arms.costs.tolist(), strict=True))
    ratios = [
        np.log(cost[o.task_id, "paper-batching"] / cost[o.task_id, o.taken])
        for o in judged.outcomes[RANDOM][name]
    ]
    return float(np.exp(np.nanmean(ratios)))


def ablation(measured: Sequence[Cost]) -> str:
    """The learner on physical features, on the paper's embeddings in their place, and on both."""
    try:
        every = problems(measured, encoder(encoder_dir()))
    except ResearchExtraMissing as missing:
        return f"Not made: {missing}."
    splits_of = {name: splits(problem.contested()) for name, problem in every.items()}
    names = list(next(iter(splits_of.values())))
    lines = [f"| features | {' | '.join(names)} |", "|" + " --- |" * (len(names) + 1)]
    for features, folds_of in splits_of.items():
        judged = evaluate_folds(folds_of, {SELECTOR: Learned, SBS: SingleBest}, bounds=False).scores
        cells = [
            f"{judged[name][SELECTOR].slowdown:.4f} ({judged[name][SELECTOR].gap_closed_log:.2f})"
            for name in names
        ]
        lines.append(f"| {features} | {' | '.join(cells)} |")
    return "\n".join(lines)


def on_public_table(source: Path) -> dict[str, Evaluation]:
    with TemporaryDirectory() as folder:
        judged = {}
        for name, clean in (("as it is", False), ("cleaned", True)):
            table = Path(folder) / "costs.csv"
            import_table(source, table, clean=clean)
            judged[name] = evaluate(read_any(table, DEFAULT_FRAMEWORK))
    return judged


def page(sections: Mapping[str, str], pictures: str) -> str:
    rows = read_table(SHIPPED_TABLE)
    first, last = min(row.measured_at for row in rows), max(row.measured_at for row in rows)
    runs = Counter(row.hardware.name for row in rows)
    return (
        (TEMPLATES / "selector.template.md")
        .read_text(encoding="utf-8")
        .format(
            table=SHIPPED_TABLE.name,
            digest=file_sha256(SHIPPED_TABLE),
            runs=" and ".join(f"{count} runs on {name}" for name, count in sorted(runs.items())),
            version=rows[0].engine_version,
            first=first[:10],
            last=last[:10],
            pictures=pictures,
            **sections,
        )
    )


def judge_own(target: Path | None) -> dict[str, Evaluation]:
    problem = read_any(SHIPPED_TABLE)
    own = evaluate(problem)
    paper, of_paper = papers_experiment(problem)
    sections = {
        "own": to_markdown(own),
        "noise": of_noise(own),
        "families": acceleration_by_family(own, problem),
        "restarts": restarts(problem.contested()),
        "paper": paper,
        "ablation": ablation(costs(read_table(SHIPPED_TABLE))),
    }
    print("\n\n".join(sections.values()), flush=True)
    if target is not None:
        folder = target.with_suffix("")
        draw(own, problem, folder)
        target.write_text(page(sections, folder.name), encoding="utf-8")
    return {"own": own, "paper's arms": of_paper}


def judge_public(source: Path, target: Path | None) -> dict[str, Evaluation]:
    judged = on_public_table(source)
    tables = "\n".join(f"## {name.capitalize()}\n\n{to_markdown(found)}" for name, found in judged.items())
    print(tables, flush=True)
    if target is not None:
        template = (TEMPLATES / "selector-public.template.md").read_text(encoding="utf-8")
        target.write_text(template.format(tables=tables, digest=file_sha256(source)), encoding="utf-8")
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/selector", description=__doc__)
    parser.add_argument(
        "--page", type=Path, help="where to write the shipped table's results, with pictures beside it"
    )
    parser.add_argument(
        "--public", type=Path, help="All_results.csv of LLM-Inference-Bench, to judge on it instead"
    )
    arguments = parser.parse_args()
    source, target = arguments.public, arguments.page
    judged = judge_own(target) if source is None else judge_public(source, target)
    print(json.dumps({name: figures(found) for name, found in judged.items()}))


def figures(judged: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    return {
        split: {
            method: {"gap_closed_log": round(score.gap_closed_log, 4), "slowdown": round(score.slowdown, 4)}
            for method, score in methods.items()
        }
        for split, methods in judged.scores.items()
    }


if __name__ == "__main__":
    main()
