"""A requester's day on a real chain, through the command line alone."""

import io
import json

import pytest

from protocol.batchfile import read_input
from protocol.lifecycle import TaskState
from protocol.params import GenerationParams
from tests.quern.conftest import ETHER_WEI, answer, light_wallet
from wallet.keystore import Keystore


def batch_file(folder, *prompts: str):
    path = folder / "in.jsonl"
    lines = [
        {
            "custom_id": f"q{number}",
            "body": {"messages": [{"role": "user", "content": text}], "max_tokens": 4},
        }
        for number, text in enumerate(prompts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_prompt_becomes_a_task_whose_input_can_be_fetched_and_checked(desk):
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--json", "--max-tokens", "7", "--seed", "3")
    assert ran.status == 0, ran.err
    told = ran.json()
    task = desk.market.task(bytes.fromhex(told["task"][2:]))
    assert task.state is TaskState.OPEN
    assert task.max_output_tokens == 7
    assert task.max_fee_units + task.tip_units == told["max_price_units"]
    inputs = list((desk.home / "store" / "inputs").iterdir())
    assert read_input(inputs[0].read_bytes()).prompts[0].messages[0].content == "what is 2 + 2"
    params = next((desk.home / "store" / "params").iterdir())
    assert GenerationParams.decode(params.read_bytes()).seed == 3


def test_submit_shows_the_most_it_can_cost_and_who_can_read_it_before_it_signs(desk, monkeypatch):
    before = desk.footprint()
    for typed in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        ran = desk.run("submit", "what is 2 + 2")
        assert ran.status == 2
        assert "Price    at most" in ran.err
        assert "can be read by whoever can read the store" in ran.err
        assert "Nothing was sent" in ran.err
        assert desk.footprint() == before
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert desk.run("submit", "what is 2 + 2").status == 0


def test_a_task_pays_from_the_free_balance_first(desk):
    assert desk.run("money", "deposit", "0.001ether").status == 0
    task = desk.market.task(bytes.fromhex(desk.submit("what is 2 + 2", "--max-fee", "400000")[2:]))
    money = desk.run("money", "--json").json()
    assert money["free_units"] == 1_000_000 - 400_000
    assert money["escrow_units"] == task.max_fee_units == 400_000
    assert [(each["role"], each["units"], each["state"]) for each in money["waiting"]] == [
        ("escrow", 400_000, "open")
    ]


def test_what_is_missing_in_the_balance_is_sent_along(desk):
    desk.run("money", "deposit", "100000")
    desk.submit("what is 2 + 2", "--max-fee", "400000")
    assert desk.run("money", "--json").json()["free_units"] == 0


def test_an_answer_is_followed_fetched_and_paid(desk, worker):
    task = desk.submit("what is 2 + 2", "--tip", "77")
    worker.claim(task)
    assert "in work" in desk.run("watch", task, "--timeout-secs", "0").err
    worker.post(task, answer("prompt-1", "two plus two"))
    watched = desk.run("watch", task, "--json")
    assert watched.json()["state"] == "posted"
    shown = desk.run("result", task)
    assert (shown.status, shown.out) == (0, "two plus two\n")
    worker.settle(task)
    over = desk.run("watch", task, "--to-the-end")
    assert "settled" in over.err
    heading, row = desk.run("tasks").out.splitlines()
    assert "PAID (ether)" in heading
    assert "LOCKED (ether)" in heading
    assert " of " in row
    assert "at most" in row
    listed = desk.run("tasks", "--json").json()[0]
    assert listed["state"] == "settled"
    assert listed["paid_units"] + listed["refunded_units"] == listed["max_fee_units"] + 77
    assert desk.run("money", "--json").json()["free_units"] == listed["refunded_units"]


def test_a_quote_learns_from_what_was_settled(desk, worker):
    first = desk.run("quote", "--json").json()
    assert (first["recent_tasks"], first["wait_secs"]) == (0, None)
    task = desk.submit("what is 2 + 2", "--max-fee", "9000000", "--flat-percent", "50", "--max-tokens", "10")
    worker.serve(task, answer("prompt-1", "two plus two"))
    worker.settle(task)
    later = desk.run("quote", "--output-tokens", "10", "--json").json()
    assert later["recent_tasks"] == 1
    assert later["fee_units"] == 9_000_000
    assert later["wait_secs"] is not None
    assert "median of 1 settled tasks" in desk.run("quote").out


def test_a_batch_comes_back_as_an_openai_batch_output_file(desk, worker, tmp_path):
    path = batch_file(tmp_path, "what is 2 + 2", "what is 4")
    sent = desk.run("submit", "--batch", str(path), "--yes", "--json").json()
    assert sent["prompts"] == 2
    worker.serve(sent["task"], answer("q0", "two plus two"), answer("q1", "four"))
    assert desk.run("result", sent["task"]).out == "q0: two plus two\nq1: four\n"
    out = tmp_path / "out.jsonl"
    assert desk.run("result", sent["task"], "--format", "batch", "-o", str(out)).status == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == ["q0", "q1"]
    assert lines[1]["response"]["body"]["choices"][0]["message"]["content"] == "four"
    assert desk.run("result", sent["task"], "-o", str(out)).status == 2


def test_a_text_file_is_one_prompt(desk, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("what is\n2 + 2\n")
    assert desk.run("submit", "--file", str(path), "--plain", "--yes").status == 0
    inputs = next((desk.home / "store" / "inputs").iterdir())
    assert read_input(inputs.read_bytes()).prompts[0].prompt == "what is\n2 + 2"


def test_sending_a_request_again_pays_nothing_twice(desk):
    task = desk.submit()
    before = desk.run("money", "--json").json()
    again = desk.run("submit", "--resume", task[:12], "--json")
    assert again.status == 0
    assert again.json() == {"task": task, "transaction": None}
    assert "nothing was sent" in again.err
    after = desk.run("money", "--json").json()
    assert (after["wallet_wei"], after["escrow_units"]) == (before["wallet_wei"], before["escrow_units"])


def test_a_request_that_never_arrived_is_sent_again_under_its_id(desk):
    snapshot = desk.rpc.call("evm_snapshot")
    task = desk.submit()
    desk.rpc.call("evm_revert", snapshot)
    assert desk.market.task(bytes.fromhex(task[2:])).state is TaskState.NONE
    assert desk.run("submit", "--resume", task, "--json").json()["task"] == task
    assert desk.market.task(bytes.fromhex(task[2:])).state is TaskState.OPEN


def test_waiting_prints_the_answer_and_can_be_taken_up_again(desk, worker):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "four"))
    ran = desk.run("submit", "--resume", task, "--wait", "--json")
    assert ran.json()["answers"][0]["text"] == "four"
    assert ran.json()["verified"] is True


def test_a_tip_is_raised_and_moves_the_task_ahead(desk):
    first, second = desk.submit(), desk.submit()
    assert desk.run("tip", second, "5000").status == 0
    places = {each["task"]: each["place"] for each in desk.run("tasks", "--json").json()}
    assert places == {second: 1, first: 2}


@pytest.mark.parametrize(("amount", "reason"), [("1", "give a higher tip"), ("100ether", "there are 9,9")])
def test_a_tip_that_cannot_be_raised_is_refused(desk, amount, reason):
    task = desk.submit("what is 4", "--tip", "5")
    before = desk.footprint()
    ran = desk.run("tip", task, amount)
    assert ran.status == 2
    assert reason in ran.err
    assert desk.footprint() == before


def test_a_cancelled_task_gives_its_money_back(desk):
    task = desk.submit("what is 4", "--max-fee", "300000", "--tip", "5")
    assert desk.run("cancel", task, "--json").json() == {"task": task, "refunded_units": 300_005}
    assert desk.run("money", "--json").json()["free_units"] == 300_005
    assert desk.run("result", task).status == 2


def test_a_task_in_work_cannot_be_cancelled(desk, worker):
    task = desk.submit()
    worker.claim(task)
    ran = desk.run("cancel", task)
    assert ran.status == 2
    assert "leased" in ran.err


def test_an_unanswered_task_is_refunded_after_its_deadline(desk):
    task = desk.submit("what is 4", "--life-secs", "600", "--lease-secs", "30")
    desk.rpc.call("evm_increaseTime", 1_000)
    desk.rpc.call("evm_mine")
    assert "expired" in desk.run("watch", task).err
    assert desk.run("cancel", task).status == 0
    assert desk.run("tasks", "--json").json()[0]["state"] == "refunded"


def test_only_its_owner_changes_a_task(desk):
    task = desk.submit()
    light_wallet(desk.home, "mallory")
    for command in (["cancel", task], ["tip", task, "9"]):
        ran = desk.run(*command, "--wallet", "mallory")
        assert ran.status == 2
        assert "it belongs to" in ran.err


def test_money_leaves_to_the_address_named_and_never_more_than_is_free(desk):
    to = "0x" + "00" * 18 + "beef"
    desk.run("money", "deposit", "0.5ether")
    assert desk.run("money", "withdraw", "0.2ether", "--to", to).status == 0
    assert desk.rpc.balance_wei(to) == ETHER_WEI // 5
    ran = desk.run("money", "withdraw", "0.4ether")
    assert ran.status == 2
    assert "there are 300,000,000 gwei (0.3 ether)" in ran.err


def test_a_deposit_can_credit_a_worker(desk):
    to = "0x" + "00" * 18 + "bEEF"
    assert desk.run("money", "deposit", "1000", "--for", to.lower()).status == 0
    alice = Keystore(desk.home / "wallets").get("alice").address
    assert desk.market.account(alice).free_units == 0
    assert desk.market.account(to.lower()).free_units == 1000
