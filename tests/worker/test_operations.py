"""What an operator types: init, doctor, status, why, drain, withdraw; and what they scrape."""

import socket
import tomllib
import urllib.request
from pathlib import Path

import pytest

from chain.deployment import NoDeployment
from chain.keyfile import WrongPassword
from chain.rpc import Rpc
from protocol.lifecycle import TaskState
from tests.worker.harness import DEPOSIT_UNITS, MODEL_DIR, OPERATOR, PASSWORD, eventually
from worker import control, doctor, keystore, report, setup
from worker.config import WorkerConfig, load
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


def test_doctor_finds_nothing_wrong_with_a_sound_worker(place):
    checks = doctor.check(place.config(), PASSWORD)
    # The shared node's clock is where earlier tests put it.
    assert {check.name for check in checks if not check.ok} <= {"clock"}
    assert len({check.name for check in checks}) == len(checks) >= 12


def test_doctor_names_each_ill_with_its_fix_and_still_runs_the_other_checks(place, tmp_path):
    sound = place.config()
    keystore.create(tmp_path / "poor.json", PASSWORD, b"\x05" * 32, light=True)
    ill = sound.model_copy(
        update={
            "chain": sound.chain.model_copy(update={"rpc_url": "http://127.0.0.1:1"}),
            "models": (sound.models[0].model_copy(update={"path": tmp_path}),),
            "engine": sound.engine.model_copy(update={"meta_model": tmp_path / "none.json"}),
        }
    )
    found = {check.name: check for check in doctor.check(ill, "guess")}
    wrong = {name for name, check in found.items() if not check.ok}
    assert wrong >= {"RPC", "chain and code", "keystore", "models", "meta-model"}
    assert {"deployment file", "store", "disk", "process"} <= found.keys() - wrong
    assert all(found[name].fix and found[name].detail for name in wrong)
    poor = sound.model_copy(
        update={"keys": sound.keys.model_copy(update={"keystore": tmp_path / "poor.json"})}
    )
    wrong = {check.name for check in doctor.check(poor, PASSWORD) if not check.ok}
    assert wrong - {"clock"} == {"balance for gas", "balance for bonds"}


def test_doctor_notices_a_clock_that_is_behind_the_chain(place):
    place.rpc.call("evm_increaseTime", 3_600)
    place.rpc.call("evm_mine")
    (clock,) = (check for check in doctor.check(place.config(), PASSWORD) if check.name == "clock")
    assert not clock.ok
    assert clock.fix == "set this machine's clock"


def test_status_and_why_read_what_the_worker_did(place, start):
    config = place.config()
    (one,) = place.submit(place.request())
    start(config)
    place.await_states([one], TaskState.SETTLED)
    eventually(lambda: report.status(config).settled == 1, "the worker knows it")
    eventually(lambda: report.status(config).posted == (), "a snapshot after it")
    found = report.status(config)
    assert found.running
    assert found.address == OPERATOR.address
    (record,) = report.tasks(config)
    assert found.earned_units == record.paid_units == place.operator_units()[0] - DEPOSIT_UNITS
    assert found.gas_spent_wei > 0
    assert record.strategy == place.receipt(one).selection["chosen"]
    assert record.why
    said = [item.reason.code for item in report.why(config, one)]
    assert said[:4] == ["CLAIM-020", "RUN-001", "RUN-002", "POST-001"]
    assert set(said[4:]) == {"POST-002", "SETTLE-001", "SETTLE-002"}
    with pytest.raises(UnknownTask):
        report.why(config, b"\x01" * 32)


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


def test_money_is_withdrawn_through_the_running_worker_or_without_it(place, start):
    config = place.config()
    receiver = "0x" + "00" * 19 + "77"
    control.withdraw(config, PASSWORD, 1_000, receiver)
    assert place.rpc.balance_wei(receiver) == 1_000 * 10**9
    worker = start(config)
    eventually(lambda: report.status(config).at > 0, "the worker runs")
    control.withdraw(config, PASSWORD, 500, receiver)
    assert place.rpc.balance_wei(receiver) == 1_500 * 10**9
    with pytest.raises(Exception, match="units are free"):
        control.withdraw(config, PASSWORD, 10**12, receiver)
    worker.stop(now=True)
    eventually(lambda: not report.status(config).running, "the worker ended")
    with pytest.raises(NotEnoughFree):
        control.withdraw(config, PASSWORD, 10**12, receiver)
    control.withdraw(config, PASSWORD)
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
    assert f"quern_worker_block {float(Rpc(place.devnet.rpc_url).block_number())}" in fetch(port, "/metrics")
