"""What an operator types: init, doctor, status, why, drain, withdraw; and what they scrape."""

import shutil
import socket
import tomllib
import urllib.request
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from chain import deployment as deployments
from chain.deployment import NoDeployment
from chain.keyfile import WrongPassword
from chain.rpc import Rpc
from chain.store import manifest_key
from metainf import Selector
from protocol.lifecycle import TaskState
from protocol.manifest import build_manifest, model_id
from tests.worker.harness import DEPOSIT_UNITS, MODEL_DIR, OPERATOR, PASSWORD, eventually
from worker import control, doctor, keystore, report, setup
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


def keep_manifest(place) -> bytes:
    manifest = build_manifest(MODEL_DIR)
    place.store.put(manifest_key(model_id(manifest)), manifest.encoded())
    return model_id(manifest)


def test_doctor_finds_nothing_wrong_with_a_sound_worker(place):
    keep_manifest(place)
    checks = doctor.check(place.config(), PASSWORD)
    # The shared node's clock is where earlier tests put it.
    assert {check.name for check in checks if not check.ok} <= {"clock"}
    assert len({check.name for check in checks}) == len(checks) >= 12


def test_doctor_names_each_ill_with_its_fix_and_still_runs_the_other_checks(place, tmp_path):
    sound = place.config()
    keep_manifest(place)
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


def test_doctor_says_once_that_the_chain_is_away_and_leaves_out_what_rests_on_it(place, tmp_path):
    sound = place.config()
    for changed, root in (
        ({"deployment": tmp_path / "none.json"}, "deployment file"),
        ({"rpc_url": "http://127.0.0.1:1"}, "RPC"),
    ):
        ill = sound.model_copy(update={"chain": sound.chain.model_copy(update=changed)})
        checks = doctor.check(ill, PASSWORD)
        said = [check for check in checks if not check.ok and check.fix and not check.waits_for]
        assert [check.name for check in said if "CHAIN-0" in check.detail] == [root]
        left_out = {check.name for check in checks if check.waits_for == root}
        assert left_out >= {"chain and code", "clock", "balance for gas", "balance for bonds"}


def test_doctor_finds_a_model_file_that_is_not_the_one_that_was_added(place, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODEL_DIR, folder)
    added = {folder: keep_manifest(place)}
    config = place.config()
    config = config.model_copy(update={"models": (config.models[0].model_copy(update={"path": folder}),)})

    def found():
        return next(check for check in doctor.check(config, PASSWORD, added) if check.name == "model files")

    assert found().ok
    weights = next(folder.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not found().ok
    assert str(folder) in found().detail
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert "config.json" in found().detail


def test_doctor_knows_a_database_of_another_chain(place, start):
    config = place.config()
    found = {check.name: check for check in doctor.check(config, PASSWORD)}
    assert found["database"].ok
    worker = start(config)
    eventually(lambda: report.status(config).at > 0, "the worker runs")
    worker.stop(now=True)
    eventually(lambda: not report.status(config).running, "the worker ended")
    deployment = deployments.load(config.chain.deployment)
    deployments.save(replace(deployment, genesis_hash=b"\x01" * 32), config.chain.deployment)
    found = {check.name: check for check in doctor.check(config, PASSWORD)}
    assert not found["database"].ok
    assert f"WORKER-007 state_dir {config.state_dir}" in found["database"].detail
    assert "set state_dir to a new folder" in found["database"].fix


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


def test_an_engine_that_asks_for_more_cores_than_there_are_is_an_ill(place):
    checks = {check.name: check for check in doctor.check(place.config(threads=10_000), PASSWORD)}
    assert not checks["device"].ok
    assert "10000" in checks["device"].detail
    assert checks["vLLM import"].ok
