"""The plan of a sweep: what to run next, strategies side by side, a table that grows and is never lost.

For each model and KV cache every strategy's engine is started once and stays up; then the strategies take
turns on each batch, so that whatever else the machine does meanwhile meets all of them alike (a block). The
first pass goes through the tasks from the most different one to the next (`spread`); further passes repeat
them, those first whose costs are least sure, and short ones more often. A block that ran while the machine
was slow, or whose ratios disagree with those of other blocks, is run once more; and where not all engines can
be up at once, the strategies that may be the best meet in a final. After each block the table on disk is
replaced by the longer one, so that a sweep can be killed at any time and goes on where it was, on another day
too.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, exp, inf
from pathlib import Path
from statistics import median

from metainf.calibration import calibration_secs
from metainf.costs import costs, doubt, seconds
from metainf.errors import RaceTooNarrow
from metainf.facts import ModelFacts, Workload
from metainf.measure import EngineKind, Session, Setting, Task, Turn
from metainf.race import contenders
from metainf.spread import farthest_first
from metainf.strategy import Strategy
from metainf.table import OK, Measurement, read_table, write_table

# A calibration this much above the best of the sweep says that the machine was slow.
SLOW = 1.5
# Ratios of a strategy in two blocks of a task that are this far apart say that one was disturbed.
SUSPICIOUS = 0.25
# At most so many times as often as others is a short task run.
MOST_TIMES_AS_OFTEN = 3
# A strategy this near to the best (log) of a tenth of the tasks of a setting is one of those to choose among there.
NEAR_BEST = 0.05
_LEAST_SHARE = 0.1
# The repeats of those that are compared once more are numbered from here.
_FINAL = 100
# And the rounds of a race from here, beyond any final.
_RACE = 10_000
# More doubt than this among a quarter of the blocks is the machine's way, and running again does not cure it.
_MOST_AGAIN = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is: runs done of all runs, and what was run last and what came of it."""

    done: int
    total: int
    task_id: str
    strategy: str
    outcome: str
    problem: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What to measure and how.

    `resident` engines stay up side by side: more compare more strategies in the same moment, each costs its
    memory. Where one has the machine for itself (`resident` 1, a GPU), blocks are left out and strategies
    are compared over the whole sweep. A task is run more often than `repeats` if a typical strategy would
    else run for less than `least_secs` in all. With `final`, strategies that may be the best and were not up
    together are compared once more side by side. With `race`, all are up together, and only those that may be the best
    of a task go on until they ran so often. `run_timeout_secs` is when a single run counts as hung.

    Raises `RaceTooNarrow` for a race with fewer engines than strategies.
    """

    settings: tuple[Setting, ...]
    strategies: tuple[Strategy, ...]
    repeats: int = 3
    resident: int = 4
    least_secs: float = 0.0
    final: bool = False
    race: int = 0
    run_timeout_secs: float = 120.0
    engine_kind: EngineKind = "vllm"

    def __post_init__(self) -> None:
        if self.race and self.resident < len(self.strategies):
            raise RaceTooNarrow(self.resident, len(self.strategies))


_Key = tuple[str, str, int]


def run_sweep(
    sweep: Sweep,
    table: Path,
    progress: Callable[[Progress], None] = lambda _: None,
    budget_secs: float = inf,
) -> int:
    """Measure what `table` lacks and add it there, for at most about `budget_secs`; the number of rows added.

    The budget is shared evenly over the settings still to come. Raises `TableUnreadable` if the file exists
    and is no such table.
    """
    book = _Book(sweep, table, progress)
    ends = time.monotonic() + budget_secs
    for place, setting in enumerate(sweep.settings):
        now = time.monotonic()
        share = (ends - now) / (len(sweep.settings) - place)
        for group in _groups(sweep):
            _measure_group(sweep, setting, group, book, now + share)
        if sweep.final and 1 < sweep.resident < len(sweep.strategies):
            _measure_finalists(sweep, setting, book, now + share)
    return book.added


def _groups(sweep: Sweep) -> Iterator[Sequence[Strategy]]:
    """As many strategies as may be up at once; the first, to compare with, is in each."""
    anchor, others, size = sweep.strategies[:1], sweep.strategies[1:], sweep.resident - 1
    if sweep.resident >= len(sweep.strategies):
        yield sweep.strategies
    elif size < 1:
        yield from ((strategy,) for strategy in sweep.strategies)
    else:
        yield from ((*anchor, *others[start : start + size]) for start in range(0, len(others), size))


class _Book:
    """The rows so far, on disk after every block, and what of the plan they cover: `rows` are those of this machine,
    for what was measured on another one is still to be measured here.
    """

    def __init__(self, sweep: Sweep, table: Path, progress: Callable[[Progress], None]) -> None:
        self._table = table
        self._progress = progress
        every = read_table(table) if table.exists() else []
        here = {setting.hardware.name for setting in sweep.settings}
        self._elsewhere = [row for row in every if row.hardware.name not in here]
        self.rows = [row for row in every if row.hardware.name in here]
        self._before = len(self.rows)
        self._planned = {
            (setting.task_id(task), strategy.digest(), repeat)
            for setting in sweep.settings
            for task in setting.tasks
            for strategy in sweep.strategies
            for repeat in range(sweep.repeats)
        }
        self.known: set[_Key] = {_key(row) for row in self.rows}
        calibrations = (row.calibration_before_secs for row in self.rows)
        self.best_calibration_secs = min((secs for secs in calibrations if secs > 0), default=inf)

    @property
    def added(self) -> int:
        return len(self.rows) - self._before

    def enter(self, rows: Sequence[Measurement]) -> None:
        """Add the rows of a block and have them on disk."""
        if rows:
            self.rows += rows
            self.known |= {_key(row) for row in rows}
            write_table([*self._elsewhere, *self.rows], self._table)

    def report(self, row: Measurement, under_way: AbstractSet[_Key]) -> None:
        self._planned |= under_way
        done = len(self._planned & (self.known | under_way))
        self._progress(
            Progress(done, len(self._planned), row.task_id, row.strategy, row.outcome, row.problem)
        )


def _key(row: Measurement) -> _Key:
    return row.task_id, row.strategy_digest, row.repeat


def _measure_group(
    sweep: Sweep, setting: Setting, group: Sequence[Strategy], book: _Book, ends: float
) -> None:
    """Everything that is missing of these strategies on one setting; at the end one more turn where it is doubted."""
    order = farthest_first(setting.tasks, [_shape(task) for task in setting.tasks])
    with _sessions(sweep, setting, group) as sessions:
        for repeat in range(sweep.repeats * MOST_TIMES_AS_OFTEN):
            due = [task for task in order if repeat < _repeats(sweep, book, setting, task)]
            tasks = due if repeat == 0 else sorted(due, key=lambda task: -_doubt(book, setting, task))
            for turn, task in enumerate(tasks):
                missing = [s for s in sessions if (setting.task_id(task), s.digest, repeat) not in book.known]
                # Where anything is missing, what it is compared with runs again beside it.
                if missing and len(sessions) > 1 and sessions[0] not in missing:
                    missing.insert(0, sessions[0])
                if missing and not _block(task, repeat, missing, turn, book, ends):
                    return
        if sweep.race:
            _race(sweep, setting, sessions, book, ends)
            return
        again = [task for task in order if _doubt(book, setting, task) > SUSPICIOUS]
        again.sort(key=lambda task: -_doubt(book, setting, task))
        for turn, task in enumerate(again[: int(_MOST_AGAIN * len(order))]):
            planned = _repeats(sweep, book, setting, task)
            repeat = planned + _extra_repeats(book, setting, task, planned)
            if repeat == planned and not _block(task, repeat, sessions, turn, book, ends):
                return


def _race(sweep: Sweep, setting: Setting, sessions: Sequence[Session], book: _Book, ends: float) -> None:
    """Rounds over the tasks, in each of which only the strategies run that may still be a task's best."""
    racing = {session.digest: session for session in sessions}
    raced = True
    while raced:
        raced = False
        for turn, task in enumerate(setting.tasks):
            task_id = setting.task_id(task)
            own = [row for row in book.rows if row.task_id == task_id]
            near = contenders([row for row in own if row.strategy_digest in racing], sweep.race)
            running = [session for digest, session in racing.items() if digest in near]
            if len(running) > 1:
                raced = True
                repeat = max([_RACE, *(row.repeat + 1 for row in own)])
                if not _block(task, repeat, running, turn, book, ends):
                    return


def _measure_finalists(sweep: Sweep, setting: Setting, book: _Book, ends: float) -> None:
    """The strategies to choose among on this setting, side by side with the first: strategies of two groups were
    compared through that one alone, whose own disturbances are between them.
    """
    finalists = _finalists(sweep, setting, book)
    if len(finalists) < 2:
        return
    with _sessions(sweep, setting, tuple(dict.fromkeys((sweep.strategies[0], *finalists)))) as sessions:
        for repeat in range(_FINAL, _FINAL + sweep.repeats):
            for turn, task in enumerate(setting.tasks):
                asked = any((setting.task_id(task), s.digest, repeat) not in book.known for s in sessions[1:])
                if asked and not _block(task, repeat, sessions, turn, book, ends):
                    return


@contextmanager
def _sessions(sweep: Sweep, setting: Setting, strategies: Sequence[Strategy]) -> Iterator[list[Session]]:
    """One for each strategy, to be started when first needed; all are stopped in the end."""
    facts = ModelFacts.from_dir(setting.model_dir)
    sessions = [
        Session(setting, facts, strategy, sweep.engine_kind, sweep.run_timeout_secs)
        for strategy in strategies
    ]
    try:
        yield sessions
    finally:
        for session in sessions:
            session.stop()


def _finalists(sweep: Sweep, setting: Setting, book: _Book) -> list[Strategy]:
    """Those near the best of enough tasks, most often near first, as many as may be up beside the first."""
    ids = {setting.task_id(task) for task in setting.tasks}
    qualifying = [row for row in book.rows if row.task_id in ids and row.repeat < _FINAL]
    secs = {
        (cost.task_id, cost.strategy.name): cost.total_secs
        for cost in costs(qualifying)
        if cost.total_secs is not None
    }
    best: dict[str, float] = {}
    for (task_id, _), took in secs.items():
        best[task_id] = min(took, best.get(task_id, inf))
    near = Counter(name for (task_id, name), took in secs.items() if took <= best[task_id] * exp(NEAR_BEST))
    found = [
        strategy for strategy in sweep.strategies[1:] if near[strategy.name] >= _LEAST_SHARE * len(best) > 0
    ]
    found.sort(key=lambda strategy: -near[strategy.name])
    return found[: sweep.resident - 1]


def _repeats(sweep: Sweep, book: _Book, setting: Setting, task: Task) -> int:
    """How often a task is run: a short one more often, for what disturbs a run does not grow with it."""
    task_id = setting.task_id(task)
    first = [seconds(row) for row in book.rows if (row.task_id, row.repeat, row.outcome) == (task_id, 0, OK)]
    if not first or sweep.race:
        return sweep.repeats
    wanted = ceil(sweep.least_secs / max(median(first), 1e-3))
    return min(max(wanted, sweep.repeats), sweep.repeats * MOST_TIMES_AS_OFTEN)


def _shape(task: Task) -> Workload:
    batch = task.draw(0)
    return Workload.from_token_ids(batch.prompts, batch.max_tokens, batch.concurrency)


def _extra_repeats(book: _Book, setting: Setting, task: Task, repeats: int) -> int:
    """How often a doubted task has been run again, today or before."""
    task_id = setting.task_id(task)
    return len({row.repeat for row in book.rows if row.task_id == task_id and repeats <= row.repeat < _FINAL})


def _doubt(book: _Book, setting: Setting, task: Task) -> float:
    """By how much a task's blocks disagree (log), or by how much the machine was slower than at its best."""
    task_id = setting.task_id(task)
    rows = [row for row in book.rows if row.task_id == task_id and row.outcome == OK]
    slowest = max((max(row.calibration_before_secs, row.calibration_after_secs) for row in rows), default=0.0)
    return doubt(rows) + (1.0 if slowest > SLOW * book.best_calibration_secs else 0.0)


def _block(
    task: Task,
    repeat: int,
    sessions: Sequence[Session],
    turn: int,
    book: _Book,
    ends: float,
) -> bool:
    """One batch under each of the strategies in turn, beginning with another one each time. False if time is up."""
    rows: list[Measurement] = []
    try:
        for session in sessions:
            if time.monotonic() >= ends:
                return False
            session.start()
        before = calibration_secs()
        name = datetime.now(UTC).isoformat(timespec="milliseconds") if len(sessions) > 1 else ""
        where = Turn(repeat, name, before)
        for index in range(len(sessions)):
            rows.append(sessions[(index + turn) % len(sessions)].measure(task, where))
            book.report(rows[-1], {_key(row) for row in rows})
        after = calibration_secs()
        book.best_calibration_secs = min(book.best_calibration_secs, before, after)
        rows = [replace(row, calibration_after_secs=after) for row in rows]
        return True
    finally:
        # First the rows: a second signal while engines are being stopped must not cost them.
        book.enter(rows)
