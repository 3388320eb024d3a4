"""What an operator types: init, doctor, status, why, drain, withdraw; and what they scrape."""

import socket
import tomllib
import urllib.request
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from chain.deployment import NoDeployment
from chain.keyfile import WrongPassword
from chain.rpc import Rpc
from metainf import Selector
from protocol.lifecycle import TaskState
from tests.worker.harness import DEPOSIT_UNITS, MODEL_DIR, OPERATOR, PASSWORD, eventually
from worker import control, keystore, report, setup
from worker import screen as worker_screen
from worker.config import Learning, WorkerConfig, load
from worker.errors import (
    BadConfig,
    KeystoreMissing,
    NoPassword,
    NotEnoughFree,
    NotRunning,
    UnknownTask,
    WontOverwrite,
)
from worker.template import render
from worker.words import shown_end, shown_moment, shown_secs


def init(place, directory: Path, **changes: object) -> setup.Initialised:
    arguments: dict[str, object] = {
        "deployment": place.home / "deployment.json",
        "store_url": str(place.home / "store"),
        "models": [MODEL_DIR],
        "password": PASSWORD,
    }
    return setup.init(directory, **{**arguments, **changes})  # type: ignore[arg-type]


def test_init_writes_a_key_only_its_owner_can_read_and_settings_that_load(place, tmp_path):
    made = init(place, tmp_path / "operator")
    assert made.keystore.stat().st_mode & 0o077 == 0
    assert (
        keystore.unlock(made.keystore, PASSWORD).address == made.address == keystore.address_of(made.keystore)
    )
    assert PASSWORD not in made.config_path.read_text() + made.keystore.read_text()
    config = load(made.config_path)
    assert config.state_dir == made.config_path.parent / "state"
    assert config.models[0].path == MODEL_DIR
    assert made.address in made.warning
    assert "1 ether" in made.warning


def test_init_refuses_to_overwrite_and_leaves_nothing_behind_when_something_is_wrong(place, tmp_path):
    made = init(place, tmp_path / "operator")
    before = made.keystore.read_bytes()
    with pytest.raises(WontOverwrite):
        init(place, tmp_path / "operator")
    assert made.keystore.read_bytes() == before
    with pytest.raises(NoDeployment):
        init(place, tmp_path / "other", deployment=tmp_path / "none.json")
    assert not (tmp_path / "other").exists()


def test_the_template_shows_every_setting_and_loads_back_to_the_same_values(place, tmp_path):
    config = place.config(slots=7)
    path = tmp_path / "config.toml"
    path.write_text(render(config))
    assert load(path) == config
    text = path.read_text()
    for name in ("poll_ms", "max_bond_units", "hang_secs", "meta_model", "drain_secs", "keep_days"):
        assert f"{name} = " in text
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    assert tomllib.loads(uncommented)["engine"]["slots"] == 7


def test_the_environment_wins_over_the_file(place, tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text(render(place.config()))
    monkeypatch.setenv("QUERN_WORKER_CHAIN__RPC_URL", "http://127.0.0.1:1")
    assert load(path).chain.rpc_url == "http://127.0.0.1:1"
    assert load(path).chain.poll_ms == 20


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("poll_ms = 20", "poll_ms = 1", "chain.poll_ms"),
        ("poll_ms = 20", "poll_mss = 20", "chain.poll_mss"),
        ("[chain]", "[chain", "TOML"),
        ('kind = "fake"', 'kind = "quick"', "engine.kind"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(place, tmp_path, old, new, said):
    path = tmp_path / "config.toml"
    path.write_text(render(place.config()).replace(old, new))
    with pytest.raises(BadConfig) as caught:
        load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_needs_its_keystore_and_its_password(place, tmp_path, monkeypatch):
    path = place.home / "keystore.json"
    with pytest.raises(WrongPassword):
        keystore.unlock(path, "guess")
    with pytest.raises(KeystoreMissing):
        keystore.unlock(tmp_path / "none.json", PASSWORD)
    monkeypatch.delenv(keystore.PASSWORD_VARIABLE, raising=False)
    with pytest.raises(NoPassword):
        keystore.password_from_environment()
    (tmp_path / "password").write_text(PASSWORD + "\n")
    monkeypatch.setenv(keystore.PASSWORD_FILE_VARIABLE, str(tmp_path / "password"))
    assert keystore.password_from_environment() == PASSWORD


def test_status_and_why_read_what_the_worker_did(place, start):
    config = place.config()
    (one,) = place.submit(place.request())
    start(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: report.status(config).settled == 1, "the worker knows it")
    eventually(lambda: report.status(config).posted == (), "a snapshot after it")
    found = report.status(config)
    assert found.running
    assert found.state is report.State.RUNNING
    assert found.address == OPERATOR.address
    (record,) = report.tasks(config)
    assert found.earned_units == record.paid_units == place.operator_units()[0] - DEPOSIT_UNITS
    assert found.gas_spent_wei > 0
    assert record.strategy == place.receipt(one).selection["chosen"]
    assert record.why
    said = [item.reason.code for item in report.why(config, one)]
    assert said[:4] == ["CLAIM-020", "RUN-001", "RUN-002", "POST-001"]
    assert set(said[4:]) == {"POST-002", "SETTLE-001", "SETTLE-002"}
    assert report.known_tasks(config) == (one,)
    with pytest.raises(UnknownTask):
        report.why(config, b"\x01" * 32)


def test_durations_and_moments_are_as_exact_as_anybody_wants():
    assert [shown_secs(secs) for secs in (0.0, 0.0354, 1.25, 48.4, 720.0)] == [
        "0 ms",
        "35 ms",
        "1.2 s",
        "48 s",
        "12 min",
    ]
    assert shown_moment(1_800_000_000.25) == "2027-01-15 08:00:00.250 UTC"
    assert shown_moment(1_800_000_000.25, exact=False) == "2027-01-15 08:00:00 UTC"
    assert shown_end(1_800_000_300, 1_800_000_000) == "08:05:00 UTC, in 300 s"


def test_a_worker_without_a_deposit_says_what_to_do(place, start, caplog):
    control.withdraw(place.config("before"), PASSWORD)
    start(place.config())
    eventually(lambda: f"quern money deposit AMOUNT --for {OPERATOR.address}" in caplog.text, "the advice")


def test_status_of_a_worker_that_never_ran_is_empty_and_creates_nothing(place):
    config = place.config("never")
    found = report.status(config)
    assert (found.running, found.settled, found.address) == (False, 0, OPERATOR.address)
    assert not config.state_dir.exists()


def test_drain_needs_a_running_worker_and_ends_it(place, spawn):
    config = place.config()
    with pytest.raises(NotRunning):
        control.drain(config)
    process = spawn(config)
    eventually(lambda: report.status(config).at > 0, "the worker runs")
    control.drain(config, wait_secs=30)
    assert process.wait() == 0


def test_draining_twice_is_not_a_second_signal(place, spawn):
    config = place.config(fake_tokens_per_sec=10.0)
    (one,) = place.submit(place.request())
    process = spawn(config)
    place.await_states([one], TaskState.LEASED)
    control.drain(config)
    control.drain(config)
    assert process.wait() == 0
    assert place.states([one]) == [TaskState.SETTLED]


def test_money_is_withdrawn_through_the_running_worker_or_without_it(place, start):
    config = place.config()
    receiver = "0x" + "00" * 19 + "77"
    done = control.withdraw(config, PASSWORD, 1_000, receiver)
    assert (done.amount_units, done.to) == (1_000, receiver)
    assert place.rpc.balance_wei(receiver) == 1_000 * 10**9
    worker = start(config)
    eventually(lambda: report.status(config).at > 0, "the worker runs")
    control.withdraw(config, PASSWORD, 500, receiver)
    assert place.rpc.balance_wei(receiver) == 1_500 * 10**9
    with pytest.raises(Exception, match="is free to withdraw"):
        control.withdraw(config, PASSWORD, 10**12, receiver)
    worker.stop(now=True)
    eventually(lambda: not report.status(config).running, "the worker ended")
    with pytest.raises(NotEnoughFree):
        control.withdraw(config, PASSWORD, 10**12, receiver)
    assert control.withdraw(config, PASSWORD).amount_units == DEPOSIT_UNITS - 1_500
    assert place.operator_units() == (0, 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_metrics_and_health_are_served_while_the_worker_runs(place, start):
    config: WorkerConfig = place.config()
    port = free_port()
    config = config.model_copy(update={"operations": config.operations.model_copy(update={"port": port})})
    one, _cheap = place.submit(place.request(), place.request(max_fee_units=1, tip_units=0))
    start(config)
    place.await_states([one], TaskState.SETTLED)

    def served() -> bool:
        text = fetch(port, "/metrics")
        return (
            'quern_worker_declined{code="CLAIM-007"} 1.0' in text and "quern_worker_posted_tasks 0.0" in text
        )

    eventually(served, "metrics of both tasks")
    assert fetch(port, "/healthz") == "ok\n"
    latest = f"quern_worker_block {float(Rpc(place.devnet.rpc_url).block_number())}"
    eventually(lambda: latest in fetch(port, "/metrics"), "the latest block")


def test_a_running_worker_retrains_by_itself_and_says_what_came_of_it(place, start):
    config = place.config()
    config = config.model_copy(update={"learning": Learning(retrain_hours=0.0003, niceness=0)})
    (one,) = place.submit(place.request())
    start(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: report.status(config).retrained is not None, "a retraining", 120)
    found = report.status(config)
    assert found.retrained is not None
    assert found.retrained.code == "LEARN-003"
    assert "METAINF-007 harvested jobs" in found.retrained.text
    assert found.meta_model == Selector.load().meta_model_digest
    shown = StringIO()
    Console(file=shown, width=200).print(worker_screen.render(found))
    assert "LEARN-003" in shown.getvalue()


METRICS = (
    "open_tasks",
    "oldest_open_secs",
    "held_tasks",
    "posted_tasks",
    "least_lease_secs",
    "transactions",
    "reorganisations",
    "reorg_depth",
    "tokens_per_s",
    "output_tokens",
    "engine_starts",
    "engine_failures",
    "regret_secs",
    "chain_silent_secs",
    "free_units",
    "locked_units",
    "gas_spent_wei",
    "gas_per_task_wei",
    "block",
)


def test_every_metric_an_operator_needs_is_served(place, start):
    port = free_port()
    config = place.config()
    config = config.model_copy(update={"operations": config.operations.model_copy(update={"port": port})})
    (one,) = place.submit(place.request())
    start(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: 'quern_worker_strategy{name="' in fetch(port, "/metrics"), "the strategy")
    served = {
        line.split()[0]: float(line.split()[1])
        for line in fetch(port, "/metrics").splitlines()
        if not line.startswith("#")
    }
    assert {f"quern_worker_{name}" for name in METRICS} <= served.keys()
    eventually(lambda: "quern_worker_gas_per_task_wei 0.0" not in fetch(port, "/metrics"), "what a task cost")
    assert served["quern_worker_engine_starts"] == 1.0


def test_why_knows_a_task_that_nothing_was_decided_about(place, start):
    config = place.config()
    rich = place.request(bond_units=60_000)
    config = config.model_copy(update={"price": config.price.model_copy(update={"max_bond_units": 10**12})})
    (one,) = place.submit(rich)
    start(config)
    eventually(lambda: one in report.known_tasks(config), "it is seen")
    assert report.why(config, one) == ()
    assert report.standing(config, one) == "nothing was decided about it yet: the task is open"
    with pytest.raises(UnknownTask):
        report.standing(config, b"\x01" * 32)
