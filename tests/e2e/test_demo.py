"""The README's first command, as a user runs it: real node, real vLLM, real money on the devnet."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.checkout import ROOT

MARK = "QUERN_TEST_RUN"
PATIENCE_SECS = 280


@contextmanager
def demo(folder: Path, *arguments: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The demo without its set-up, in a home of its own; (process, mark that all its descendants carry)."""
    mark = uuid.uuid4().hex
    # A run in the background hands down an ignored interrupt, which the demo would rightly go on ignoring.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, sys.executable, "-P", "-m", "scripts.demo_job", "--home", str(folder / "home")]
    process = subprocess.Popen(
        [*command, "--report", str(folder / "report.json"), *arguments],
        cwd=ROOT,
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process, mark
    finally:
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def marked(mark: str) -> list[int]:
    """Processes that run with the mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdecimal() and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def until_gone(mark: str, patience_secs: float) -> list[int]:
    """What is left of the marked processes once they had time to end."""
    deadline = time.monotonic() + patience_secs
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    return marked(mark)


@pytest.mark.timeout(PATIENCE_SECS + 20)
def test_the_demo_settles_audits_and_accounts_for_everything(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, mark):
        said, _ = process.communicate(timeout=PATIENCE_SECS)
        assert process.returncode == 0, said
        assert until_gone(mark, 10) == []
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["passed"] is True
    tasks = report["tasks"]
    assert [task["prompts"] for task in tasks] == [1, 64, 1, 1]
    for task in tasks:
        assert task["state"] == "settled"
        assert task["paid_units"] + task["refunded_units"] == task["max_fee_units"] + task["tip_units"]
        assert [step["outcome"] for step in task["audit"]["steps"]] == ["passed"] * 7
        assert task["strategy"]
        assert task["why"]
        assert task["output_tokens"] > 0
        assert len(task["answers"]) == task["prompts"]
        assert task["task"][:18] in said
    assert sum(task["right_answers"] for task in tasks) >= 0.9 * sum(task["prompts"] for task in tasks)
    assert report["overtaken"]
    assert report["money_wei"]["balanced"] is True
    assert {account["unexplained"] for account in report["money_wei"]["accounts"]} == {0}


@pytest.mark.parametrize("moment", ["Devnet, contracts, model", "A worker with vLLM", "The worker at work"])
@pytest.mark.timeout(120)
def test_an_interrupt_at_any_moment_leaves_no_process(tmp_path: Path, moment: str) -> None:
    with demo(tmp_path) as (process, mark):
        assert process.stdout is not None
        for line in process.stdout:
            if moment in line:
                break
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 130
        assert until_gone(mark, 10) == []
