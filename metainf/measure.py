"""Measuring one strategy for real: an engine of the engine room, and what each batch takes on it.

Crashes, hangs and refused starts are outcomes, not ends. What is learned from is the processor time of the
engine's process where it computes on a CPU: with one thread that is about what the clock would show on an
idle machine, and work beside the sweep moves it little. The clock is recorded too, and counts where a GPU
computes.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from metainf.facts import HardwareFacts, ModelFacts, Workload
from metainf.strategy import JsonValue, Strategy
from metainf.table import CRASHED, HUNG, OK, START_FAILED, Measurement
from metainf.workloads import Batch, Encode, Question

if TYPE_CHECKING:
    from engine.base import Completion, Engine, EngineFacts

START_TIMEOUT_SECS = 300.0

EngineKind = Literal["vllm", "fake"]


@dataclass(frozen=True, slots=True)
class Task:
    """A named workload; `draw` gives its batch for a repeat. `family` is the kind of work it stands for."""

    name: str
    draw: Callable[[int], Batch]
    family: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A model on a machine, with the tasks to measure there. `model_dir` without weights runs with
    random ones.
    """

    model_name: str
    model_dir: Path
    hardware: HardwareFacts
    tasks: tuple[Task, ...]

    def task_id(self, task: Task) -> str:
        """Names the task in a table: model, KV cache, workload."""
        return f"{self.model_name}/{self.hardware.kv_cache_bytes >> 20}MiB/{task.name}"


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a run belongs: which repeat of its task, in which block, and what the machine was like then."""

    repeat: int
    block: str = ""
    calibration_before_secs: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    """What one batch took, in seconds, and what came out."""

    cpu_secs: float
    wall_secs: float
    first_token_share: float
    completions: tuple["Completion", ...]


class Session:
    """One strategy on one setting: an engine, started again after a crash.

    `run_timeout_secs` is when a single run counts as hung.
    """

    def __init__(
        self,
        setting: Setting,
        facts: ModelFacts,
        strategy: Strategy,
        kind: EngineKind = "vllm",
        run_timeout_secs: float = 120.0,
    ) -> None:
        self._kind: EngineKind = kind
        self._run_timeout_secs = run_timeout_secs
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

    def measure(self, task: Task, turn: Turn) -> Measurement:
        """One run, whatever comes of it."""
        from engine.base import EngineError, EngineHung

        batch = task.draw(turn.repeat)
        load = os.getloadavg()[0]
        self.start()
        if self._refusal:
            return self._row(task, turn, batch, load, START_FAILED, self._refusal)
        try:
            return self._measured(task, turn, batch, load)
        except EngineHung as error:
            self.stop()
            return self._row(task, turn, batch, load, HUNG, str(error))
        except EngineError as error:
            self.stop()
            return self._row(task, turn, batch, load, CRASHED, str(error))

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
        engine = ChildEngine(self._kind, config, hang_secs=self._run_timeout_secs)
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
        self._start_cpu_secs = cpu_secs(self._pid)

    def _engine_args(self) -> dict[str, JsonValue]:
        arguments = self._strategy.arguments_for(self._model.dtype, self._setting.hardware.kv_cache_bytes)
        if self._model.random_weights:
            arguments |= {"load_format": "dummy", "skip_tokenizer_init": True}
        return arguments

    def _first_batch(self) -> Batch:
        vocab = self._model.vocab
        prompts = tuple(tuple(8 + (17 * i + 5 * j) % (vocab - 8) for j in range(24)) for i in range(3))
        return Batch(prompts, (4,) * len(prompts), 0.0)

    def _measured(self, task: Task, turn: Turn, batch: Batch, load: float) -> Measurement:
        assert self._engine is not None
        before = self._engine.metrics()
        run = self._run(batch)
        after = self._engine.metrics()
        failed = [completion.error for completion in run.completions if completion.error is not None]
        if failed:
            return self._row(task, turn, batch, load, CRASHED, f"{len(failed)} requests failed: {failed[0]}")
        row = self._row(task, turn, batch, load, OK, "")
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
        began, cpu_began, clock_began = time.monotonic(), cpu_secs(self._pid), time.time()
        at_once = batch.concurrency or len(requests)
        self._engine.submit(requests[:at_once])
        submitted = at_once
        completions: dict[str, Completion] = {}
        while len(completions) < len(requests):
            for event in self._engine.events(timeout_secs=1.0):
                if isinstance(event, Completion):
                    completions[event.request_id] = event
            due = min(at_once + len(completions), len(requests))
            if submitted < due:
                self._engine.submit(requests[submitted:due])
                submitted = due
            if time.monotonic() - began > self._run_timeout_secs:
                raise EngineHung(f"a batch took more than {self._run_timeout_secs:g} s")
        cpu, wall = cpu_secs(self._pid) - cpu_began, time.monotonic() - began
        ordered = tuple(completions[request.request_id] for request in requests)
        share = _first_token_share(ordered, clock_began, wall, at_once)
        return _Run(cpu, wall, share, ordered)

    def _row(
        self, task: Task, turn: Turn, batch: Batch, load: float, outcome: str, problem: str
    ) -> Measurement:
        greedy = len(batch.prompts) if batch.temperature == 0 else 0
        facts = self._facts
        return Measurement(
            task_id=self._setting.task_id(task),
            model_name=self._setting.model_name,
            workload_name=task.name,
            repeat=turn.repeat,
            strategy=self._strategy.name,
            strategy_digest=self.digest,
            strategy_json=json.dumps(self._strategy.to_json(), sort_keys=True),
            model=self._model,
            hardware=self._setting.hardware,
            workload=Workload.from_token_ids(batch.prompts, batch.max_tokens, batch.concurrency, greedy),
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
            engine=facts.engine if facts else self._kind,
            engine_version=facts.version if facts else "",
            engine_dtype=facts.dtype if facts else "",
            python_version=platform.python_version(),
            platform=platform.system(),
            family=task.family,
            block=turn.block,
            calibration_before_secs=turn.calibration_before_secs,
        )


def _first_token_share(
    ordered: Sequence["Completion"], began: float, wall_secs: float, at_once: int
) -> float:
    """Mean time to the first token, of the whole time: from the start for requests handed in together, else
    from each one's own.
    """
    together = at_once >= len(ordered)
    waits = [(c.first_token_at or c.finished_at) - (began if together else c.submitted_at) for c in ordered]
    spans = [wall_secs if together else c.finished_at - c.submitted_at for c in ordered]
    return min(max(sum(waits) / max(sum(spans), 1e-9), 0.0), 1.0)


def _outputs_sha256(completions: Sequence["Completion"]) -> str:
    """One digest over all outputs, in the order of the batch, to tell whether two strategies agree."""
    return sha256(json.dumps([list(completion.token_ids) for completion in completions]).encode()).hexdigest()


def cpu_secs(pid: int) -> float:
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
