"""What an operator sets up on one machine: wallets, devnet, models, worker."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from protocol.manifest import Manifest, build_manifest, model_id
from tests.quern.conftest import PASSWORD, light_wallet

KEY = "0x" + "11" * 32


def test_wallets_are_made_imported_and_listed(run, tmp_path):
    assert run("wallet", "list").out.startswith("No wallet yet")
    made = run("wallet", "new", "alice", "--json").json()
    (tmp_path / "key").write_text(KEY + "\n")
    imported = run("wallet", "import", "bob", "--key-file", str(tmp_path / "key"))
    assert Account.from_key(KEY).address in imported.out
    assert PASSWORD not in imported.out + imported.err
    listed = run("wallet", "list", "--json").json()
    assert [(each["name"], each["address"]) for each in listed] == [
        ("alice", made["address"]),
        ("bob", Account.from_key(KEY).address),
    ]
    again = run("wallet", "new", "alice")
    assert again.status == 2
    assert "WALLET-003" in again.err


def test_a_devnet_goes_up_tells_of_itself_funds_and_goes_down(run, tmp_path):
    assert run("devnet", "status").status == 3
    assert run("version", "--json").json()["market"] is None
    try:
        up = run("devnet", "up", "--automine", "--json")
        assert up.status == 0, up.err
        assert run("devnet", "up", "--json").json() == up.json()
        told = run("devnet", "status", "--json").json()
        assert (told["running"], told["pid"]) == (True, up.json()["pid"])
        light_wallet(tmp_path / "home", "alice")
        assert run("devnet", "fund", "alice", "--amount", "2ether").status == 0
        assert run("money", "--json").json()["wallet_wei"] == 2 * 10**18
        version = run("version", "--json").json()
        assert (version["chain_id"], version["market"]) == (31337, told["market"])
        assert len(version["market_code_hash"]) == 66
    finally:
        down = run("devnet", "down")
    assert down.out == "Devnet stopped.\n"
    assert run("devnet", "down").out == "No devnet was running.\n"
    assert run("quote").status == 3


def test_a_model_is_added_stored_announced_and_listed(desk, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in desk.model_dir.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "model.safetensors").write_bytes(b"other weights")
    added = desk.run("model", "add", str(other), "--name", "second", "--announce", "--json")
    assert added.status == 0, added.err
    identity = model_id(build_manifest(other))
    assert added.json()["model"] == "0x" + identity.hex()
    stored = desk.store.get(f"models/{identity.hex()}/manifest.json", 1 << 20)
    assert model_id(Manifest.decode(stored)) == identity
    listed = {each["name"]: each for each in desk.run("model", "list", "--json").json()}
    assert listed["second"]["announced"] is True
    assert listed["second"]["path"] == str(other)
    assert desk.run("submit", "what", "--yes", "--model", "second").status == 0
    before = desk.rpc.block_number()
    assert desk.run("model", "add", str(other), "--name", "second", "--announce").status == 0
    assert desk.rpc.block_number() == before
    assert "(announced)" in desk.run("model", "add", str(other), "--name", "second").out
    unheard = desk.run("model", "add", str(other), "--rpc", "http://127.0.0.1:1")
    assert "not known whether it is announced" in unheard.out


def test_a_model_added_offline_is_not_announced(desk, tmp_path):
    (desk.home / "devnet" / "deployment.json").unlink()
    added = desk.run("model", "add", str(desk.model_dir))
    assert added.status == 0
    assert "not announced" in added.out
    assert [each["announced"] for each in desk.run("model", "list", "--json").json()] == [False]


@pytest.fixture
def operator(desk, monkeypatch, tmp_path):
    (tmp_path / "operator").write_text("operator's own\n")
    monkeypatch.setenv("QUERN_KEYSTORE_PASSWORD_FILE", str(tmp_path / "operator"))
    return desk


def test_worker_init_says_what_the_key_can_lose_and_never_overwrites(operator):
    made = operator.run("worker", "init", "--engine", "fake")
    assert made.status == 0, made.err
    assert "At stake are" in made.out
    assert "operator's own" not in made.out + made.err
    before = operator.footprint()
    assert operator.run("worker", "init", "--engine", "fake").status == 2
    assert operator.footprint() == before


def test_a_worker_without_a_model_is_not_set_up(operator):
    (operator.home / "models.json").unlink()
    before = operator.footprint()
    ran = operator.run("worker", "init", "--engine", "fake")
    assert ran.status == 2
    assert "quern model add DIR" in ran.err
    assert operator.footprint() == before


def test_the_doctor_names_each_ill_with_its_fix(operator):
    operator.run("worker", "init", "--engine", "fake")
    ran = operator.run("worker", "doctor", "--json")
    assert ran.status == 2
    checks = {each["name"]: each for each in ran.json()}
    assert checks["chain and code"]["ok"] is True
    assert checks["balance for gas"]["ok"] is False
    assert "send at least" in checks["balance for gas"]["fix"]


def test_commands_of_a_worker_that_is_not_there_are_one_line(operator):
    for command in ("run", "doctor", "status", "drain", "withdraw"):
        ran = operator.run("worker", command)
        assert ran.status == 2, command
        assert ran.err.count("\n") == 1
        assert "quern worker init" in ran.err


def test_draining_a_worker_that_does_not_run_says_so(operator):
    operator.run("worker", "init", "--engine", "fake")
    ran = operator.run("worker", "drain")
    assert ran.status != 0
    assert ran.err.count("\n") == 1


def test_home_is_the_checkout_one_stands_in(tmp_path, monkeypatch):
    from quern.context import home

    monkeypatch.delenv("QUERN_HOME", raising=False)
    checkout = tmp_path / "checkout"
    for mark in ("hardhat-local", "contracts", "deep/inside"):
        (checkout / mark).mkdir(parents=True)
    (checkout / "pyproject.toml").write_text("")
    monkeypatch.chdir(checkout / "deep" / "inside")
    assert home().folder == checkout / ".quern"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home().folder == tmp_path / ".quern"
    monkeypatch.setenv("QUERN_HOME", "~/elsewhere")
    assert home().folder == tmp_path / "elsewhere"


def test_a_wallet_file_is_a_keystore_other_software_opens(run, tmp_path):
    path = run("wallet", "new", "alice", "--json").json()["path"]
    content = json.loads(Path(path).read_text())
    assert content["version"] == 3
    assert len(Account.decrypt(content, PASSWORD)) == 32
