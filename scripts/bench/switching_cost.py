"""What choosing is worth over a mixed stream of jobs on the real engine, starts counted.

The stream comes in bursts, each of one kind of work: stories, lookups in one table, sums, sampled text. Every job is
run by real vLLM engines under every strategy, `--repeats` times, of which the median counts. The measured jobs stand
for a longer stream: each for `--times` like it in a row, and all bursts come again in another order for `--rounds`.
From these seconds, all of one run, the total of each way of choosing is added up:

- ours: the shipped selector as the worker uses it, told which engines are up, what starts cost here, what was foregone
  so far, and of at most `--ahead` jobs to come; it learns as the worker does, every `--learn-secs` of the stream from
  what it took that has settled, `--window-secs` after it ran;
- frozen: the same, but it learns nothing;
- oracle: knows every cost and every start, and plans the whole stream;
- default, sbs: vLLM's default always; the one strategy that is best for this very stream, in hindsight;
- greedy: as ours, told that starts are free;
- known: the selector's rule, told the true seconds of the job at hand but nothing of those to come.

A worker keeps `--resident` engines up and lets go the one unused for longest. The first start counts for all. Seconds
are processor seconds of the engine's process, which is all a job takes of the clock where it has its one core to
itself; what choosing and learning take is added to ours, frozen and greedy.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from chain.presets import PRESETS
from metainf import DEFAULT_NAME, HardwareFacts, ModelFacts, SelectionState, Selector, catalogue
from metainf.residents import Spent, least_spent, spent
from scripts.bench.switching_jobs import MODEL_DIR, Job, Measured, drawn, measured
from scripts.bench.switching_stream import (
    Knowing,
    Learning,
    Selecting,
    Setting,
    Site,
    Stream,
    Way,
    followed,
    streamed,
)
from worker.learning import REFRESH_SECS

STRATEGIES = (DEFAULT_NAME, "block-32", "ngram-4", "ngram-8", "ngram-4-block-32", "seqs-8")


def show_foreseen(jobs: Sequence[Job], of: Measured, site: Site) -> None:
    """Print what each kind of work takes under the strategies, over vLLM's default, and what was expected of it."""
    chooser = site.chooser()
    expected = np.zeros(of.secs.shape)
    for place, job in enumerate(jobs):
        choice = chooser.choose_for(site.model, job.workload, SelectionState())
        secs = {each.strategy: each.total_secs for each in choice.predictions}
        expected[place] = [secs[name] for name in of.names]
    default = of.names.index(DEFAULT_NAME)
    print("over the default, measured / expected: " + ", ".join(of.names))
    for kind in sorted({job.kind for job in jobs}):
        rows = [place for place, job in enumerate(jobs) if job.kind == kind]
        took, said = of.secs[rows].sum(axis=0), expected[rows].sum(axis=0)
        pairs = zip(took / took[default], said / said[default], strict=True)
        print(
            f"  {kind:20}{took[default] / len(rows):6.3f} s  "
            + "  ".join(f"{t:.2f}/{e:.2f}" for t, e in pairs)
        )


def timed(
    of: Measured, stream: Stream, setting: Setting, starts: Mapping[str, float], way: Way
) -> tuple[list[int], float]:
    """The strategies taken, and the processor seconds it took to choose and to learn, on all threads."""
    began = time.process_time()
    taken = followed(of, stream, setting, starts, way)
    return taken, time.process_time() - began


def figures(jobs: Sequence[Job], of: Measured, site: Site, setting: Setting) -> dict[str, float]:
    """Totals of every way of choosing, and ours over each; what ours costs beyond the oracle, as shares of it."""
    names, room = of.names, setting.room
    stream = streamed(jobs, setting.times, setting.rounds)
    secs = of.secs[list(stream.places)]
    starts = {name: round(float(start), 2) for name, start in zip(names, of.starts, strict=True)}
    free = dict.fromkeys(names, 0.0)
    learner = Selecting(site, jobs, setting.learning)
    ours, our_secs = timed(of, stream, setting, starts, learner)
    frozen, frozen_secs = timed(of, stream, setting, starts, Selecting(site, jobs, None))
    greedy, greedy_secs = timed(of, stream, setting, free, Selecting(site, jobs, setting.learning))
    known = followed(of, stream, setting, starts, Knowing(of))
    # Of equal jobs in a row all are best run alike, so they are planned as one.
    measured_once = list(streamed(jobs, 1, setting.rounds).places)
    oracle = least_spent(setting.times * of.secs[measured_once], of.starts, room)
    single = [spent(secs, of.starts, [place] * len(secs), room) for place in range(len(names))]
    mine = spent(secs, of.starts, ours, room)
    ways = {
        "frozen": spent(secs, of.starts, frozen, room),
        "oracle": oracle,
        "default": single[names.index(DEFAULT_NAME)],
        "sbs": min(single, key=lambda each: each.total_secs),
        "greedy": spent(secs, of.starts, greedy, room),
        "known": spent(secs, of.starts, known, room),
    }
    show_ways({"ours": mine, **ways}, stream, setting, learner)
    print("  taken: " + ", ".join(f"{names[each]} {ours.count(each)}" for each in sorted(set(ours))))
    choosing_secs = {"frozen": frozen_secs, "greedy": greedy_secs}
    totals = {name: way.total_secs + choosing_secs.get(name, 0.0) for name, way in ways.items()}
    total, best = mine.total_secs + our_secs, oracle.total_secs
    return {
        "jobs": len(stream),
        "total_secs": round(total, 2),
        **{f"ratio_{name}": round(total / each, 4) for name, each in totals.items()},
        "oracle_over_sbs": round(best / totals["sbs"], 4),
        "known_over_oracle": round(totals["known"] / best, 4),
        "frozen_over_oracle": round(totals["frozen"] / best, 4),
        "times_corrected": learner.times_corrected,
        "lost_to_starts": round((mine.start_secs - oracle.start_secs) / best, 4),
        "lost_to_engines_not_up": round((mine.least_run_secs - oracle.run_secs) / best, 4),
        "lost_to_wrong_engine": round((mine.run_secs - mine.least_run_secs) / best, 4),
        "lost_to_choosing": round(our_secs / best, 4),
    }


def show_ways(ways: Mapping[str, Spent], stream: Stream, setting: Setting, learner: Selecting) -> None:
    """Print the total of each."""
    print(f"{len(stream)} jobs, {setting.room} engines up, ours corrected {learner.times_corrected} times:")
    for name, way in ways.items():
        print(f"  {name:8}{way.total_secs:8.1f} s, {way.starts} starts of {way.start_secs:.1f} s among them")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench/switching", description=__doc__)
    parser.add_argument("--jobs", type=int, default=48, help="jobs to measure")
    parser.add_argument("--seed", type=int, default=0, help="of the order of bursts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each job under each strategy")
    parser.add_argument("--burst", type=int, default=6, help="most jobs of one kind in a row")
    parser.add_argument(
        "--times", type=int, default=10, help="jobs like it in a row that a measured one is for"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="how often all bursts come, each time reordered"
    )
    parser.add_argument(
        "--ahead", type=int, default=1, help="jobs to come that the selector is told of, at most"
    )
    parser.add_argument("--resident", type=int, default=3, help="engines kept up, as the worker's default")
    parser.add_argument(
        "--learn-secs",
        type=float,
        default=REFRESH_SECS,
        help="seconds of the stream between two corrections, as the worker's",
    )
    parser.add_argument(
        "--window-secs",
        type=float,
        default=PRESETS["devnet"].window_secs,
        help="until a job has settled, as on a devnet; a public market's window is longer than the stream",
    )
    parser.add_argument("--meta-model", type=Path, help="choose with this one instead of the shipped one")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    known = {each.name: each for each in catalogue("cpu", "0.32.0")}
    site = Site(
        Selector.load(options.meta_model),
        ModelFacts.from_dir(MODEL_DIR),
        HardwareFacts.detect(),
        tuple(known[name] for name in STRATEGIES),
    )
    jobs = drawn(options.jobs, options.burst, options.repeats, options.seed)
    found = measured(jobs, site.strategies, site.model, site.machine)
    show_foreseen(jobs, found, site)
    learning = Learning(options.learn_secs, options.window_secs)
    shapes = (
        (1, 1, options.resident),
        (options.times, 1, options.resident),
        (options.times, options.rounds, 1),
        (options.times, options.rounds, options.resident),
    )
    of_shape = {
        (times, rounds, room): figures(
            jobs, found, site, Setting(times, rounds, room, options.ahead, learning)
        )
        for times, rounds, room in shapes
    }
    *shorter, longest = shapes
    print(
        json.dumps(
            {
                **of_shape[longest],
                "measured_jobs": len(jobs),
                "repeats": options.repeats,
                "resident": options.resident,
                "learn_secs": options.learn_secs,
                "window_secs": options.window_secs,
                "start_secs": round(float(found.starts.mean()), 2),
                **{
                    f"times_{times}_rounds_{rounds}_resident_{room}": of_shape[times, rounds, room]
                    for times, rounds, room in shorter
                },
                "meta_model": site.selector.meta_model_digest,
                "machine": site.machine.name,
            }
        )
    )


if __name__ == "__main__":
    main()
