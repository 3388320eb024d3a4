"""Each thing a person can get wrong: one clear line, the right exit status, and nothing sent or left behind."""

import json
import socket
from dataclasses import replace

import pytest

from chain import deployment as deployments
from tests.quern.conftest import WINDOW_TOKENS, light_wallet

ASK = ("submit", "what is 2 + 2", "--yes")
CALLER = 2
LATER = 3


@pytest.fixture
def refused(desk):
    """Runs a command that must be refused: returns its one line."""

    def check(status: int, *arguments: str):
        before = desk.footprint()
        ran = desk.run(*arguments)
        *offer, line = ran.err.rstrip("\n").split("\n")
        assert ran.status == status, ran.err
        assert ran.out == ""
        assert line.startswith("quern: ")
        assert [shown for shown in offer if shown.split()[0] not in OFFER] == []
        assert "Traceback" not in ran.err
        assert desk.footprint() == before
        return line

    return check


OFFER = ("Model", "Asked", "Replicas", "Class", "Price", "Wait", "Privacy", "Gas")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_wrong_password(refused, tmp_path):
    (tmp_path / "wrong").write_text("guess\n")
    line = refused(CALLER, *ASK, "--password-file", str(tmp_path / "wrong"))
    assert "KEY-002" in line
    assert "alice" in line


def test_a_locked_wallet_where_nobody_can_be_asked(refused, monkeypatch):
    monkeypatch.delenv("QUERN_PASSWORD_FILE")
    assert "it is locked; give --password-file" in refused(CALLER, *ASK)


def test_a_new_wallet_where_nobody_can_be_asked_for_its_password(refused, monkeypatch):
    monkeypatch.delenv("QUERN_PASSWORD_FILE")
    line = refused(CALLER, "wallet", "new", "bob")
    assert "WALLET-012" in line
    assert "locked" not in line


def test_a_wrong_password_is_known_before_anything_is_agreed_to(refused, tmp_path):
    (tmp_path / "wrong").write_text("guess\n")
    line = refused(CALLER, "submit", "what is 2 + 2", "--password-file", str(tmp_path / "wrong"))
    assert "KEY-002" in line


def test_a_password_file_that_is_not_there(refused, tmp_path):
    assert "No such file" in refused(CALLER, *ASK, "--password-file", str(tmp_path / "absent"))


def test_a_wallet_that_does_not_exist(refused):
    assert "known are alice" in refused(CALLER, *ASK, "--wallet", "bob")


def test_several_wallets_and_none_chosen(desk, refused):
    light_wallet(desk.home, "bob")
    assert "give --wallet, one of alice, bob" in refused(CALLER, *ASK)


def test_a_damaged_keystore(desk, refused):
    (desk.home / "wallets" / "alice.json").write_text("{}")
    assert "KEY-001" in refused(CALLER, *ASK)


def test_a_model_never_announced(refused):
    line = refused(CALLER, *ASK, "--model", "gpt-none")
    assert "gpt-none" in line
    assert "announced are tiny" in line


def test_a_prompt_longer_than_the_models_window(refused):
    line = refused(CALLER, "submit", "what " * WINDOW_TOKENS, "--yes")
    assert f"{WINDOW_TOKENS + 1} tokens" in line
    assert f"window is {WINDOW_TOKENS} tokens" in line


def test_one_prompt_of_a_batch_longer_than_the_window_is_named(refused, tmp_path):
    path = tmp_path / "in.jsonl"
    bodies = {"short": "what is 4", "long": "what " * WINDOW_TOKENS}
    lines = [{"custom_id": name, "body": {"prompt": text}} for name, text in bodies.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "'long'" in refused(CALLER, "submit", "--batch", str(path), "--yes")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{not json", "line 2, json"),
        ("[]", "line 2, json"),
        ('{"custom_id": "a", "body": {"prompt": "x"}}', "line 2, custom_id"),
        ('{"custom_id": "b", "body": {"prompt": ""}}', "line 2, prompt"),
        ('{"custom_id": "b", "body": {"prompt": "x", "max_tokens": 0}}', "line 2, max_tokens"),
        ('{"custom_id": "b", "body": {"prompt": "x", "logit_bias": {}}}', "line 2, body"),
        ('{"custom_id": "b\\u001b[2J", "body": {"prompt": "x"}}', "line 2, custom_id"),
    ],
)
def test_a_malformed_batch_line_is_named(refused, tmp_path, line, said):
    path = tmp_path / "in.jsonl"
    path.write_text('{"custom_id": "a", "body": {"prompt": "what"}}\n' + line + "\n")
    assert said in refused(CALLER, "submit", "--batch", str(path), "--yes")


def test_a_price_too_low(refused):
    assert "gwei of gas" in refused(CALLER, *ASK, "--max-fee", "1")


def test_an_amount_that_is_none(refused):
    assert "MONEY-001 tip" in refused(CALLER, *ASK, "--tip", "a little")


def test_more_money_than_there_is(refused):
    line = refused(CALLER, *ASK, "--max-fee", "99ether")
    assert "DESK-004 price beyond the free balance" in line


def test_a_request_the_market_refuses(refused):
    line = refused(CALLER, *ASK, "--lease-secs", "1")
    assert "ASK-010" in line
    assert "lease too short" in line


def test_an_rpc_that_is_not_there(refused):
    line = refused(LATER, *ASK, "--rpc", f"http://127.0.0.1:{free_port()}")
    assert "CHAIN-002" in line


def test_an_rpc_address_that_is_none(refused):
    assert "give http://host:port" in refused(CALLER, *ASK, "--rpc", "localhost")


@pytest.fixture
def deployment_with(desk, tmp_path):
    """A deployment file that differs from the true one."""

    def write(**changes: object):
        path = tmp_path / "other.json"
        deployments.save(replace(desk.market.deployment, **changes), path)
        return path

    return write


def test_a_wrong_chain(refused, deployment_with):
    assert "CHAIN-012" in refused(CALLER, *ASK, "--deployment", str(deployment_with(chain_id=1)))


def test_a_chain_that_was_reset(refused, deployment_with):
    line = refused(CALLER, *ASK, "--deployment", str(deployment_with(genesis_hash=bytes(32))))
    assert "reset" in line


def test_the_deployment_file_of_a_dead_devnet(refused, deployment_with):
    dead = deployment_with(rpc_url=f"http://127.0.0.1:{free_port()}")
    assert "start the node" in refused(LATER, *ASK, "--deployment", str(dead))


def test_no_deployment_file(refused, tmp_path):
    line = refused(LATER, *ASK, "--deployment", str(tmp_path / "absent.json"))
    assert "quern devnet up" in line


def test_a_deployment_file_that_is_none(refused, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    assert "CHAIN-011" in refused(CALLER, *ASK, "--deployment", str(tmp_path / "bad.json"))


def test_a_store_that_cannot_be_reached(refused, tmp_path):
    (tmp_path / "plain-file").write_text("")
    line = refused(LATER, *ASK, "--store", str(tmp_path / "plain-file" / "store"))
    assert "STORE-003" in line


def test_a_store_of_a_kind_that_runs_programs(refused):
    assert "STORE-001" in refused(CALLER, *ASK, "--store", "ssh://host/folder")


def test_a_result_that_is_not_there_yet(desk, worker, refused):
    task = desk.submit()
    assert "no worker has claimed it yet" in refused(LATER, "result", task)
    worker.claim(task)
    assert "a worker is at it" in refused(LATER, "result", task)


def test_a_task_that_never_was(refused):
    assert "this market never saw it" in refused(CALLER, "result", "0x" + "ab" * 32)
    line = refused(CALLER, "watch", "0xab")
    assert "unknown" in line
    assert "more digits" not in line
    assert "give 0x and 64 hex digits" in refused(CALLER, "watch", "../etc")


def test_no_prompt_and_two_prompts(refused, tmp_path):
    (tmp_path / "p.txt").write_text("what")
    assert "give exactly one" in refused(CALLER, "submit", "--yes")
    assert "give exactly one" in refused(CALLER, *ASK, "--file", str(tmp_path / "p.txt"))
    assert "No such file" in refused(CALLER, "submit", "--file", str(tmp_path / "absent"), "--yes")


def test_sampling_out_of_range(refused):
    assert "PARAMS-001 temperature" in refused(CALLER, *ASK, "--temperature", "9")


def test_a_folder_that_is_no_model(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused(CALLER, "model", "add", str(tmp_path / "empty"), "--announce")
    assert "MODEL-001" in line


def test_a_hub_name_without_a_network(refused, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = refused(LATER, "model", "add", "quern-tests/no-such-model")
    assert "MODEL-010" in line
    assert "give a directory" in line


def test_a_name_that_no_hub_could_have(refused):
    assert "MODEL-011" in refused(CALLER, "model", "add", "a/b/c/d")


def test_a_private_key_that_is_none(refused, tmp_path):
    (tmp_path / "key").write_text("0x1234\n")
    line = refused(CALLER, "wallet", "import", "carol", "--key-file", str(tmp_path / "key"))
    assert "WALLET-007" in line
    assert "1234" not in line
