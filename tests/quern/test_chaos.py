"""`quern devnet chaos` as a person uses it: started, used by another command, stopped."""

import json
import signal
import subprocess
import sys

import pytest

from chain import deployment as deployments
from chain.rpc import Rpc
from tests.patience import PATIENCE_SECS


@pytest.fixture
def chaos(devnet, tmp_path):
    """Starts it in a process of its own; the first line says where it is."""
    deployments.save(devnet.deployment, tmp_path / "deployment.json")
    started = []

    def start(*options):
        command = [sys.executable, "-P", "-c", "from quern.cli import main; main()", "devnet", "chaos"]
        process = subprocess.Popen(
            # A run in the background hands down an ignored interrupt.
            [
                "env",
                "--default-signal=INT",
                *command,
                "--deployment",
                str(tmp_path / "deployment.json"),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_every_fault_is_a_line_until_it_is_interrupted(rpc, chaos):
    process, first = chaos("--seed", "5", "--rates", "busy=1", "--reorg-secs", "0", "--json")
    where = json.loads(first)
    assert where["seed"] == 5
    with pytest.raises(ConnectionError):
        Rpc(where["url"]).chain_id()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECS)
    faults = [json.loads(line) for line in out.splitlines()]
    assert [fault["injection"]["number"] for fault in faults] == list(range(len(faults)))
    assert {fault["injection"]["fault"] for fault in faults} == {"busy"}
    assert f"{len(faults)} requests came" in err
    assert process.returncode == 0


def test_it_ends_by_itself_when_told_so(chaos):
    process, first = chaos("--rates", "", "--secs", "0.1")
    assert "seed 0 at http://127.0.0.1:" in first
    assert process.wait(PATIENCE_SECS) == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--rates", "storm=1"], "DEVNET-006"),
        (["--rates", "busy=7"], "DEVNET-006"),
        (["--max-depth", "0"], "DEVNET-007"),
        (["--reorg-secs", "-1"], "DEVNET-007"),
        (["--port", "70000"], "DEVNET-008"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(chaos, options, code):
    process, first = chaos(*options)
    _, err = process.communicate(timeout=PATIENCE_SECS)
    assert (process.returncode, first) == (2, "")
    assert err.count("\n") == 1
    assert code in err
