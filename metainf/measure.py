"""Measuring strategies for real: every task of a plan under every strategy, through the engine room.

For each model and KV cache a sweep keeps several engines up, one per strategy, runs one unmeasured
batch on each, then every workload on all of them in turn, so that whatever else the machine does
meanwhile meets all strategies alike. Each repeat has new tokens of the same shape, so that no run is
served from the last one's prefix cache. A sweep can be stopped at any time and goes on where it was:
the table on disk is replaced by a longer one after each group of engines, and at the stop. Crashes,
hangs and refused starts are outcomes, not ends.

The cost that is learned from is the processor time of the engine's process. With one thread it is about
what the clock would show on an idle machine, and work beside the sweep moves it little; the clock is
recorded too.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.strategy import JsonValue, Strategy
from metainf.table import CRASHED, HUNG, OK, START_FAILED, Measurement, read_table, write_table
from metainf.workloads import Batch, Encode, Question

if TYPE_CHECKING:
    from engine.base import Completion, Engine, EngineFacts

START_TIMEOUT_SECS = 300.0

EngineKind = Literal["vllm", "fake"]


@dataclass(frozen=True, slots=True)
class Task:
    """A named workload; `draw` gives its batch for a repeat."""

    name: str
    draw: Callable[[int], Batch]


@dataclass(frozen=True, slots=True)
class Setting:
    """A model on a machine, with the tasks to measure there. `model_dir` without weights runs with
    random ones.
    """

    model_name: str
    model_dir: Path
    hardware: HardwareFacts
    tasks: tuple[Task, ...]


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

    `resident` engines stay up side by side: more compare more strategies in the same moment, each costs
    its memory. `run_timeout_secs` is when a single run counts as hung.
    """

    settings: tuple[Setting, ...]
    strategies: tuple[Strategy, ...]
    repeats: int = 3
    resident: int = 4
    run_timeout_secs: float = 120.0
    engine_kind: EngineKind = "vllm"


def run_sweep(sweep: Sweep, table: Path, progress: Callable[[Progress], None] = lambda _: None) -> int:
    """Measure what `table` lacks and add it there; the number of rows added.

    Raises `TableUnreadable` if the file exists and is no such table.
    """
    rows = list(read_table(table)) if table.exists() else []
    before = len(rows)
    planned = {
        (_task_id(setting, task), strategy.digest(), repeat)
        for setting in sweep.settings
        for task in setting.tasks
        for strategy in sweep.strategies
        for repeat in range(sweep.repeats)
    }
    done = len(planned & {_key(row) for row in rows})
    for setting in sweep.settings:
        facts = ModelFacts.from_dir(setting.model_dir)
        for group in _groups(sweep.strategies, sweep.resident):
            known = {_key(row) for row in rows}
            sessions = [_Session(sweep, setting, facts, strategy) for strategy in group]
            try:
                for row in _measure_together(sweep.repeats, setting, sessions, known):
                    rows.append(row)
                    done += 1
                    progress(
                        Progress(done, len(planned), row.task_id, row.strategy, row.outcome, row.problem)
                    )
            finally:
                # First the rows: a second signal while engines are being stopped must not cost them.
                if len(rows) > len(known):
                    write_table(rows, table)
                for session in sessions:
                    session.stop()
    return len(rows) - before


def _key(row: Measurement) -> tuple[str, str, int]:
    return row.task_id, row.strategy_digest, row.repeat


def _groups(strategies: Sequence[Strategy], size: int) -> Iterator[Sequence[Strategy]]:
    return (strategies[start : start + size] for start in range(0, len(strategies), size))


def _measure_together(
    repeats: int, setting: Setting, sessions: Sequence["_Session"], known: AbstractSet[tuple[str, str, int]]
) -> Iterator[Measurement]:
    """Every missing run; the strategies take turns on each batch, beginning with another one each time."""
    turn = 0
    for repeat in range(repeats):
        for task in setting.tasks:
            missing = [s for s in sessions if (_task_id(setting, task), s.digest, repeat) not in known]
            for session in missing:
                session.start()
            turn += 1
            for index in range(len(missing)):
                yield missing[(index + turn) % len(missing)].measure(task, repeat)


def _task_id(setting: Setting, task: Task) -> str:
    return f"{setting.model_name}/{setting.hardware.kv_cache_bytes >> 20}MiB/{task.name}"


@dataclass(frozen=True, slots=True)
class _Run:
    """What one batch took, in seconds, and what came out."""

    cpu_secs: float
    wall_secs: float
    first_token_share: float
    completions: tuple["Completion", ...]


class _Session:
    """One strategy on one setting: an engine, started again after a crash."""

    def __init__(self, sweep: Sweep, setting: Setting, facts: ModelFacts, strategy: Strategy) -> None:
        self._sweep = sweep
        self._setting = setting
        self._model = facts
        self._strategy = strategy
        self._engine: Engine | None = None
        self._pid = 0
        self._facts: EngineFacts | None = None
        self._refusal = ""
        self._start_cpu_secs = self._start_wall_secs = 0.0
        self._serial = 0
        self.digest = strategy.digest()

    def measure(self, task: Task, repeat: int) -> Measurement:
        """One run, whatever comes of it."""
        from engine.base import EngineError, EngineHung

        batch = task.draw(repeat)
        load = os.getloadavg()[0]
        self.start()
        if self._refusal:
            return self._row(task, repeat, batch, load, START_FAILED, self._refusal)
        try:
            return self._measured(task, repeat, batch, load)
        except EngineHung as error:
            self.stop()
            return self._row(task, repeat, batch, load, HUNG, str(error))
        except EngineError as error:
            self.stop()
            return self._row(task, repeat, batch, load, CRASHED, str(error))

    def stop(self) -> None:
        """End the engine; the next run starts another."""
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    def start(self) -> None:
        """Have an engine up, or know why it refused; a refused start is not tried again."""
        if self._engine is not None or self._refusal:
            return
        from engine.base import EngineConfig, EngineError
        from engine.child import ChildEngine

        config = EngineConfig(self._setting.model_dir, self._engine_args(), dict(self._strategy.environment))
        engine = ChildEngine(self._sweep.engine_kind, config, hang_secs=self._sweep.run_timeout_secs)
        began = time.monotonic()
        try:
            self._facts = engine.start(START_TIMEOUT_SECS)
            self._engine, self._pid = engine, engine.pid or 0
            # First use loads kernels and, for n-grams, compiles them: part of starting.
            self._run(self._first_batch())
        except EngineError as error:
            engine.stop()
            self._engine = None
            self._refusal = str(error)
            return
        self._start_wall_secs = time.monotonic() - began
        self._start_cpu_secs = _cpu_secs(self._pid)

    def _engine_args(self) -> dict[str, JsonValue]:
        arguments = self._strategy.arguments_for(self._model.dtype, self._setting.hardware.kv_cache_bytes)
        if self._model.random_weights:
            arguments |= {"load_format": "dummy", "skip_tokenizer_init": True}
        return arguments

    def _first_batch(self) -> Batch:
        vocab = self._model.vocab
        prompts = tuple(tuple(8 + (17 * i + 5 * j) % (vocab - 8) for j in range(24)) for i in range(3))
        return Batch(prompts, (4,) * len(prompts), 0.0)

    def _measured(self, task: Task, repeat: int, batch: Batch, load: float) -> Measurement:
        assert self._engine is not None
        before = self._engine.metrics()
        run = self._run(batch)
        after = self._engine.metrics()
        failed = [completion.error for completion in run.completions if completion.error is not None]
        if failed:
            return self._row(
                task, repeat, batch, load, CRASHED, f"{len(failed)} requests failed: {failed[0]}"
            )
        row = self._row(task, repeat, batch, load, OK, "")
        return replace(
            row,
            cpu_secs=run.cpu_secs,
            prefill_cpu_secs=run.cpu_secs * run.first_token_share,
            decode_cpu_secs=run.cpu_secs * (1 - run.first_token_share),
            wall_secs=run.wall_secs,
            prefill_wall_secs=run.wall_secs * run.first_token_share,
            decode_wall_secs=run.wall_secs * (1 - run.first_token_share),
            prompt_tokens=sum(completion.prompt_tokens for completion in run.completions),
            generated_tokens=sum(len(completion.token_ids) for completion in run.completions),
            outputs_sha256=_outputs_sha256(run.completions),
            prefix_hit_tokens=after.prefix_hit_tokens - before.prefix_hit_tokens,
            preemptions=after.preemptions - before.preemptions,
            draft_tokens=after.draft_tokens - before.draft_tokens,
            accepted_tokens=after.accepted_tokens - before.accepted_tokens,
        )

    def _run(self, batch: Batch) -> _Run:
        """Submit a batch and wait for its last token."""
        from engine.base import Completion, EngineHung, GenerationRequest, Sampling

        assert self._engine is not None
        self._serial += 1
        requests = [
            GenerationRequest(
                request_id=f"{self._serial}-{index}",
                prompt_token_ids=prompt,
                max_tokens=limit,
                sampling=Sampling(temperature=batch.temperature, seed=index),
            )
            for index, (prompt, limit) in enumerate(zip(batch.prompts, batch.max_tokens, strict=True))
        ]
        began, cpu_began, clock_began = time.monotonic(), _cpu_secs(self._pid), time.time()
        self._engine.submit(requests)
        completions: dict[str, Completion] = {}
        while len(completions) < len(requests):
            for event in self._engine.events(timeout_secs=1.0):
                if isinstance(event, Completion):
                    completions[event.request_id] = event
            if time.monotonic() - began > self._sweep.run_timeout_secs:
                raise EngineHung(f"a batch took more than {self._sweep.run_timeout_secs:g} s")
        cpu, wall = _cpu_secs(self._pid) - cpu_began, time.monotonic() - began
        ordered = tuple(completions[request.request_id] for request in requests)
        waits = [(c.first_token_at or c.finished_at) - clock_began for c in ordered]
        share = min(max(sum(waits) / len(waits) / wall, 0.0), 1.0)
        return _Run(cpu, wall, share, ordered)

    def _row(
        self, task: Task, repeat: int, batch: Batch, load: float, outcome: str, problem: str
    ) -> Measurement:
        greedy = len(batch.prompts) if batch.temperature == 0 else 0
        facts = self._facts
        return Measurement(
            task_id=_task_id(self._setting, task),
            model_name=self._setting.model_name,
            workload_name=task.name,
            repeat=repeat,
            strategy=self._strategy.name,
            strategy_digest=self.digest,
            strategy_json=json.dumps(self._strategy.to_json(), sort_keys=True),
            model=self._model,
            hardware=self._setting.hardware,
            workload=Workload.from_token_ids(batch.prompts, batch.max_tokens, greedy=greedy),
            outcome=outcome,
            problem=problem,
            cpu_secs=0.0,
            prefill_cpu_secs=0.0,
            decode_cpu_secs=0.0,
            wall_secs=0.0,
            prefill_wall_secs=0.0,
            decode_wall_secs=0.0,
            start_cpu_secs=self._start_cpu_secs,
            start_wall_secs=self._start_wall_secs,
            prompt_tokens=0,
            generated_tokens=0,
            prefix_hit_tokens=0,
            preemptions=0,
            draft_tokens=0,
            accepted_tokens=0,
            outputs_sha256="",
            load_average=load,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            engine=facts.engine if facts else self._sweep.engine_kind,
            engine_version=facts.version if facts else "",
            engine_dtype=facts.dtype if facts else "",
            python_version=platform.python_version(),
            platform=platform.system(),
        )


def _outputs_sha256(completions: Sequence["Completion"]) -> str:
    """One digest over all outputs, in the order of the batch, to tell whether two strategies agree."""
    return sha256(json.dumps([list(completion.token_ids) for completion in completions]).encode()).hexdigest()


def _cpu_secs(pid: int) -> float:
    """Processor seconds a process and all its threads have used: POSIX `clock_getcpuclockid`, as Linux
    encodes it.
    """
    return time.clock_gettime((~pid << 3) | 2)


def chat_encoder(model_dir: Path) -> Encode:
    """How a trained model's own tokenizer and chat template encode a question."""
    from engine.tokenizer import Tokenizer

    tokenizer = Tokenizer(model_dir)

    def encode(question: Question) -> Sequence[int]:
        system = [{"role": "system", "content": question.system}] if question.system else []
        ids: tuple[int, ...] = tokenizer.encode_chat([*system, {"role": "user", "content": question.user}])
        return ids

    return encode
