"""The engine's process: whatever happens to it is an error for its parent, and it never outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.base import (
    BadEngineArgument,
    EngineConfig,
    EngineCrashed,
    EngineHung,
    EngineKind,
    EngineNotRunning,
    EngineOutOfMemory,
    EngineStartFailed,
    JsonValue,
    ModelUnreadable,
    Progress,
    UnknownEngineArgument,
)
from engine.child import ChildEngine
from engine.oom import crash, kernel_kills, says_out_of_memory
from tests.checkout import ROOT
from tests.engine.support import (
    ENGINE_ARGS,
    MODEL_DIR,
    START_SECS,
    ask,
    generate,
    group_members,
    is_running,
    until,
)

KINDS = ["fake", "transformers", pytest.param("vllm", marks=pytest.mark.slow)]
PROMPT = tuple(range(20, 60))


@pytest.fixture
def engines() -> Iterator[list[ChildEngine]]:
    """Engines put here are stopped after the test."""
    started: list[ChildEngine] = []
    yield started
    for engine in started:
        engine.stop()


def fake(engines: list[ChildEngine], hang_secs: float = 60.0, **options: JsonValue) -> ChildEngine:
    config = EngineConfig(MODEL_DIR, {f"fake_{name}": value for name, value in options.items()})
    engine = ChildEngine("fake", config, hang_secs=hang_secs)
    engines.append(engine)
    return engine


def events_until_error(engine: ChildEngine, secs: float = 20.0, submitting: int = 0) -> list[object]:
    if submitting:
        engine.submit([ask(PROMPT) for _ in range(submitting)])
    found: list[object] = []
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        found += engine.events(0.2)
    return found


def scratch_of(pid: int) -> list[Path]:
    """The temporary folder a process was given."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return [Path(item.removeprefix("TMPDIR=")) for item in variables if item.startswith("TMPDIR=")]


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_killed_while_generating_is_a_crash_its_parent_survives(
    engines: list[ChildEngine], kind: EngineKind
):
    """vLLM's model is spread over two processes, as on a machine of two GPUs."""
    sizes: dict[str, JsonValue] = {"tensor_parallel_size": 2} if kind == "vllm" else {}
    engine = ChildEngine(kind, EngineConfig(MODEL_DIR, ENGINE_ARGS[kind] | sizes))
    engines.append(engine)
    facts = engine.start(START_SECS)
    assert facts.tensor_parallel_size == facts.digestible()["tensorParallelSize"] == (2 if sizes else 1)
    engine.submit([ask((*PROMPT, 3 + index), max_tokens=400) for index in range(8)])
    pid = engine.pid
    assert pid is not None
    assert len(group_members(pid)) >= (2 if sizes else 1)
    (scratch,) = scratch_of(pid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineCrashed, match="SIGKILL"):
        events_until_error(engine)
    until(lambda: not group_members(pid), "some of its processes still run")
    assert not scratch.exists()
    for call in (engine.metrics, lambda: engine.submit([ask(PROMPT)]), lambda: engine.prefill_check([])):
        with pytest.raises(EngineCrashed):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_dies_with_a_killed_parent(kind: EngineKind):
    program = (
        "import sys, time\n"
        "from engine.base import EngineConfig\n"
        "from engine.child import ChildEngine\n"
        "from tests.engine.support import ENGINE_ARGS, MODEL_DIR, START_SECS\n"
        f"engine = ChildEngine({kind!r}, EngineConfig(MODEL_DIR, ENGINE_ARGS[{kind!r}]))\n"
        "engine.start(START_SECS)\n"
        "print(engine.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
    finally:
        parent.kill()
        parent.communicate()
    until(lambda: not group_members(child), "the engine outlived its parent")


def test_an_engine_outlives_the_thread_that_started_it(engines: list[ChildEngine]):
    engine = fake(engines)
    starter = threading.Thread(target=engine.start, args=(START_SECS,))
    starter.start()
    starter.join()
    time.sleep(0.3)
    request = ask(PROMPT)
    assert generate(engine, request).tokens(request)


def test_events_from_before_a_crash_are_still_handed_out(engines: list[ChildEngine]):
    engine = fake(engines, crash_after_tokens=1)
    engine.start(START_SECS)
    first, second = ask(PROMPT, 5), ask(PROMPT, 5)
    heard = generate(engine, first)
    assert len(heard.tokens(first)) == 5
    engine.submit([second])
    with pytest.raises(EngineCrashed, match="asked to crash"):
        events_until_error(engine)


def test_a_silent_engine_is_given_up_and_killed(engines: list[ChildEngine]):
    engine = fake(engines, hang_secs=1.0, hang_after_tokens=1)
    engine.start(START_SECS)
    generate(engine, ask(PROMPT, 5))
    engine.submit([ask(PROMPT, 5)])
    pid = engine.pid
    assert pid is not None
    with pytest.raises(EngineHung, match="silent for 1 s"):
        events_until_error(engine)
    until(lambda: not group_members(pid), "the hung engine still runs")


def test_an_engine_that_is_stopped_from_outside_counts_as_hung_even_when_idle(engines: list[ChildEngine]):
    engine = fake(engines, hang_secs=2.5)
    engine.start(START_SECS)
    time.sleep(3.0)
    assert engine.metrics().running == 0, "an idle engine must not count as silent"
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    with pytest.raises(EngineHung):
        engine.metrics()


def test_a_large_submission_to_a_stopped_process_ends_with_it(engines: list[ChildEngine]):
    """More than a pipe holds: the writer must not wait for ever."""
    engine = fake(engines, hang_secs=1.0)
    engine.start(START_SECS)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(EngineHung):
        events_until_error(engine, submitting=20_000)
    assert time.monotonic() - began < 10


DEAF = """#!{python}
import os, sys, time
sys.path.insert(0, {root!r})
from engine import wire
from engine.base import EngineFacts
write_fd = int(sys.argv[-2])
wire.send(write_fd, ["started", wire.pack_facts(EngineFacts("fake", "1", "none", "none", 9, "none", 1, 1, {{}}, 0.0))])
while True:
    wire.send(write_fd, ["alive"])
    time.sleep(0.1)
"""


def test_a_child_that_is_alive_and_reads_nothing_is_given_up(
    engines: list[ChildEngine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    deaf = tmp_path / "deaf"
    deaf.write_text(DEAF.format(python=sys.executable, root=str(ROOT)))
    deaf.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(deaf))
    engine = fake(engines, hang_secs=1.0)
    engine.start(START_SECS)
    with pytest.raises(EngineHung, match="nothing was taken from the pipe"):
        engine.submit([ask(PROMPT) for _ in range(20_000)])
    until(lambda: not is_running(engine.pid or 0), "the child is killed")


def test_an_engine_without_memory_says_so(engines: list[ChildEngine]):
    engine = fake(engines, hoard_after_tokens=8, tokens_per_sec=50)
    engine.start(START_SECS)
    engine.submit([ask(PROMPT, max_tokens=64)])
    with pytest.raises(EngineOutOfMemory, match="ENGINE-012 fake engine: MemoryError"):
        events_until_error(engine)


@pytest.mark.parametrize(
    ("words", "lacks_memory"),
    [
        ("MemoryError", True),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory",
            True,
        ),
        ("terminate called after throwing an instance of 'std::bad_alloc'", True),
        ("ValueError: the model's memory layout is unknown", False),
        ("", False),
    ],
)
def test_words_that_mean_a_lack_of_memory_are_known(words: str, lacks_memory: bool):
    assert says_out_of_memory(words) is lacks_memory
    assert isinstance(crash("vllm", RuntimeError(words)), EngineOutOfMemory) is lacks_memory


def test_the_kernels_count_of_its_kills_is_read_and_a_machine_without_one_counts_none(tmp_path: Path):
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert kernel_kills((counter, tmp_path / "absent")) == 3
    assert kernel_kills((tmp_path / "absent",)) == 0


def test_stopping_a_stopped_process_does_not_wait_for_it(engines: list[ChildEngine]):
    engine = ChildEngine("fake", EngineConfig(MODEL_DIR), stop_grace_secs=0.5)
    engine.start(START_SECS)
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 5
    assert group_members(pid) == []


def test_stop_ends_a_waiting_call_in_another_thread(engines: list[ChildEngine]):
    engine = fake(engines)
    engine.start(START_SECS)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            engine.events(60)
        except EngineNotRunning as error:
            ended.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    engine.stop()
    waiter.join(5)
    assert len(ended) == 1
    with pytest.raises(EngineNotRunning):
        engine.submit([ask(PROMPT)])


def test_an_engine_starts_once(engines: list[ChildEngine]):
    engine = fake(engines)
    with pytest.raises(EngineNotRunning, match="not started"):
        engine.submit([ask(PROMPT)])
    engine.start(START_SECS)
    with pytest.raises(EngineNotRunning, match="make a new one"):
        engine.start(START_SECS)


def test_an_engine_that_is_not_ready_in_time_is_killed(engines: list[ChildEngine]):
    engine = fake(engines, start_secs=60)
    with pytest.raises(EngineStartFailed, match=r"not ready after 0.5 s"):
        engine.start(0.5)
    pid = engine.pid
    assert pid is not None
    until(lambda: not group_members(pid), "the slow starter still runs")


@pytest.mark.parametrize(
    ("kind", "model_dir", "arguments", "error", "words"),
    [
        ("fake", MODEL_DIR, {"fake_start_fails": True}, EngineStartFailed, "asked to fail"),
        ("fake", MODEL_DIR, {"fake_speed": 1}, UnknownEngineArgument, "fake_speed"),
        ("fake", MODEL_DIR, {"fake_fail_every": -1}, BadEngineArgument, "fake_fail_every is -1"),
        ("transformers", MODEL_DIR, {"block_size": 32}, UnknownEngineArgument, "block_size"),
        ("transformers", MODEL_DIR, {"dtype": "int3"}, BadEngineArgument, "int3"),
        ("transformers", Path("/nowhere"), {}, ModelUnreadable, "/nowhere"),
        ("vllm", MODEL_DIR, {"trust_remote_code": True}, BadEngineArgument, "trust_remote_code"),
        ("vllm", Path("/nowhere"), {}, ModelUnreadable, "/nowhere"),
        pytest.param(
            "vllm", MODEL_DIR, {"blok_size": 32}, UnknownEngineArgument, "blok_size", marks=pytest.mark.slow
        ),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    engines: list[ChildEngine],
    kind: EngineKind,
    model_dir: Path,
    arguments: dict[str, JsonValue],
    error: type[Exception],
    words: str,
):
    engine = ChildEngine(kind, EngineConfig(model_dir, arguments))
    engines.append(engine)
    with pytest.raises(error, match=words) as raised:
        engine.start(START_SECS)
    assert "\n" not in str(raised.value)
    pid = engine.pid
    assert pid is not None
    until(lambda: not is_running(pid), "what could not start still runs")


def test_the_operators_secrets_stay_out_of_the_child(
    engines: list[ChildEngine], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("QUERN_PASSWORD", "hunter2")
    monkeypatch.setenv("UNRELATED", "kept")
    engine = fake(engines)
    engine.start(START_SECS)
    environment = Path(f"/proc/{engine.pid}/environ").read_bytes()
    assert b"kept" in environment
    assert b"hunter2" not in environment


def test_a_log_file_takes_what_the_child_prints(engines: list[ChildEngine], tmp_path: Path):
    log = tmp_path / "engine.log"
    engine = ChildEngine("fake", EngineConfig(MODEL_DIR, {"fake_crash_after_tokens": 1}), log_path=log)
    engines.append(engine)
    engine.start(START_SECS)
    generate(engine, ask(PROMPT, 5))
    engine.submit([ask(PROMPT, 5)])
    with pytest.raises(EngineCrashed):
        events_until_error(engine)
    until(lambda: "EngineCrashed" in log.read_text(), "no traceback in the log")


def test_every_nth_request_fails_when_a_fault_is_injected(engines: list[ChildEngine]):
    engine = fake(engines, fail_every=3)
    engine.start(START_SECS)
    requests = [ask((*PROMPT, 3 + index)) for index in range(6)]
    heard = generate(engine, *requests)
    errors = [heard.completions[item.request_id].finish_reason == "error" for item in requests]
    assert errors == [False, False, True, False, False, True]


def test_progress_of_a_fast_engine_comes_in_few_events(engines: list[ChildEngine]):
    engine = fake(engines, tokens_per_sec=5000)
    engine.start(START_SECS)
    requests = [ask((*PROMPT, 3 + index), 100) for index in range(50)]
    heard = generate(engine, *requests)
    parts = sum(len(parts) for parts in heard.progress.values())
    tokens = sum(len(heard.tokens(item)) for item in requests)
    assert parts < tokens / 5
    assert all(isinstance(item, tuple) for item in heard.progress[requests[0].request_id])
    assert Progress("a", (1,)) == Progress("a", (1,))
