"""Operator, requester and auditor meet through the command line; a fake engine stands in for vLLM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from chain import deployment as deployments
from protocol.equivalence import EquivalenceClass
from tests.quern.conftest import Ran, answer, light_wallet

QUERN = Path(sys.executable).parent / "quern"
DEMO_MODEL = Path(__file__).resolve().parents[2] / "models" / "quern-demo"
START_SECS = 60


@pytest.fixture
def town(run: Callable[..., Ran], devnet, rpc, tmp_path, monkeypatch) -> Callable[..., Ran]:
    """`quern` where a funded wallet and an announced model are at hand."""
    home = tmp_path / "home"
    deployments.save(devnet.deployment, home / "devnet" / "deployment.json")
    monkeypatch.setenv("QUERN_KEYSTORE_PASSWORD_FILE", os.environ["QUERN_PASSWORD_FILE"])
    rpc.call("evm_setIntervalMining", 200)
    light_wallet(home, "alice")
    # A copy: the same bytes for everybody in the test, whatever happens to the checkout meanwhile.
    model = shutil.copytree(DEMO_MODEL, tmp_path / "demo")
    for arguments in (
        ("devnet", "fund", "alice", "--amount", "10ether"),
        ("model", "add", str(model), "--announce"),
    ):
        assert run(*arguments).status == 0, arguments
    return run


def hired(town: Callable[..., Ran], folder: Path) -> str:
    """A funded worker's settings in that folder; its address."""
    assert town("worker", "init", "--engine", "fake", "--dir", str(folder)).status == 0
    address = "0x" + json.loads((folder / "keystore.json").read_text())["address"]
    assert town("devnet", "fund", address, "--amount", "1ether").status == 0
    assert town("money", "deposit", "0.1ether", "--for", address).status == 0
    return str(address)


@contextmanager
def at_work(town: Callable[..., Ran], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`quern worker run` in a process of its own."""
    config = str(folder / "config.toml")
    process = subprocess.Popen([str(QUERN), "worker", "run", "-c", config], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECS
        while not town("worker", "status", "-c", config, "--json").json()["running"]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def working(town: Callable[..., Ran], tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The worker of home."""
    folder = tmp_path / "home" / "worker"
    hired(town, folder)
    with at_work(town, folder) as process:
        yield process


@pytest.mark.slow
def test_a_question_is_served_paid_explained_audited_and_the_worker_goes_home(town, working):
    # Tests before this one may have moved the shared node's clock.
    ills = [check for check in town("worker", "doctor", "--json").json() if not check["ok"]]
    assert [check for check in ills if check["name"] != "clock"] == []
    ran = town("submit", "What is 12 + 30?", "--yes", "--wait", "--json", "--timeout-secs", "60")
    assert ran.status == 0, ran.err
    told = ran.json()
    task = told["task"]
    assert told["verified"] is True
    assert told["engine"]["engine"] == "fake"
    assert town("watch", task, "--to-the-end", "--timeout-secs", "60", "--json").json()["state"] == "settled"

    explained = town("metainf", "explain", task[:14], "--json").json()
    assert explained["replayed"] is True
    assert explained["chosen"] in town("metainf", "explain", task).out
    audited = town("audit", task, "--engine", "none", "--json")
    assert audited.status == 0, audited.out
    assert [step["outcome"] for step in audited.json()["steps"]] == ["passed"] * 6
    assert "all 6 steps passed" in town("audit", task, "--engine", "none").out

    codes = [each["code"].split("-")[0] for each in town("worker", "why", task, "--json").json()]
    assert list(dict.fromkeys(codes)) == ["CLAIM", "RUN", "POST", "SETTLE"]
    status = town("worker", "status", "--json").json()
    assert (status["settled"], status["earned_units"] > 0) == (1, True)
    assert town("worker", "withdraw", "0.05ether").status == 0
    assert town("worker", "drain", "--wait-secs", "30").out == "Drained.\n"
    assert working.wait(5) == 0


@pytest.mark.slow
def test_three_workers_agree_on_an_answer_and_each_is_paid(town, tmp_path):
    kind = tmp_path / "class.json"
    kind.write_bytes(EquivalenceClass({"engine": "fake"}).encoded())
    folders = [tmp_path / f"worker-{number}" for number in range(3)]
    addresses = [hired(town, folder) for folder in folders]
    with ExitStack() as shift:
        for folder in folders:
            shift.enter_context(at_work(town, folder))
        asked = ("submit", "What is 12 + 30?", "--replicas", "3", "--class", str(kind), "--yes")
        ran = town(*asked, "--wait", "--json", "--timeout-secs", "90")
        assert ran.status == 0, ran.err
        told = ran.json()
        assert told["verified"] is True
        assert [check["name"] for check in told["checks"]][:2] == ["quorum", "receipt"]
        task = told["task"]
        over = town("watch", task, "--to-the-end", "--timeout-secs", "60", "--json").json()
    assert over["state"] == "settled"
    assert sorted(over["winners"]) == sorted(addresses)
    assert len({seat["paid_units"] for seat in over["seats"]}) == 1
    audited = town("audit", task, "--engine", "none", "--json")
    assert audited.status == 0, audited.out
    assert audited.json()["steps"][2]["figures"]["commitments_opened"] == len(folders)
    for address in addresses:
        report = town("audit", "worker", address, "--json").json()
        assert (report["work"]["won"], report["work"]["settled"]) == (1, 1)
        assert report["money_units"]["earned"] == over["seats"][0]["paid_units"]


def test_an_audit_that_finds_a_fault_says_so_by_its_exit_status(desk, worker):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "four"))
    shutil.copy(desk.home / "store" / task[2:] / "receipt", desk.home / "store" / task[2:] / "output")
    ran = desk.run("audit", task, "--engine", "none", "--json")
    report = ran.json()
    failed = [step["step"] for step in report["steps"] if step["outcome"] == "failed"]
    assert 4 in failed
    assert ran.status == report["exit_status"] == 10 + failed[0]


def test_a_receipt_without_a_selection_cannot_be_explained(desk, worker):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "four"))
    ran = desk.run("metainf", "explain", task)
    assert (ran.status, ran.out) == (2, "")
    assert "METAINF-008" in ran.err
