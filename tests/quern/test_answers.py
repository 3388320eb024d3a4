"""An answer from a store that lies, breaks or tries to drive the terminal."""

import json

import pytest

from chain.store import output_key, receipt_key
from protocol.batchfile import OutputEntry, write_output
from tests.quern.conftest import answer
from wallet.models import ModelList


@pytest.fixture
def served(desk, worker):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "two plus two"))
    return task


def put(desk, task: str, *entries: OutputEntry) -> None:
    desk.store.put(output_key(bytes.fromhex(task[2:])), write_output(entries))


def test_a_genuine_answer_is_checked_up_to_the_batch_root_on_chain(desk, served):
    told = desk.run("result", served, "--json").json()
    assert told["verified"] is True
    assert {check["name"]: check["passed"] for check in told["checks"]} == {
        "batch": True,
        "receipt": True,
        "receipt digests": True,
        "output": True,
        "order": True,
        "text": True,
    }
    assert told["answers"][0]["text"] == "two plus two"


@pytest.mark.parametrize(
    ("forged", "check"),
    [(answer("prompt-1", "two plus four"), "output"), (answer("someone-else", "two plus two"), "order")],
)
def test_another_answer_is_not_shown_unless_asked_for_and_then_marked(desk, served, forged, check):
    put(desk, served, forged)
    ran = desk.run("result", served)
    assert (ran.status, ran.out) == (2, "")
    assert f"these checks failed: {check}" in ran.err
    shown = desk.run("result", served, "--unverified")
    assert shown.status == 0
    assert f"NOT VERIFIED, {check}" in shown.err
    assert desk.run("result", served, "--unverified", "--json").json()["verified"] is False


def test_a_text_that_its_tokens_do_not_spell_is_not_shown(desk, served):
    put(desk, served, OutputEntry("prompt-1", "five", answer("", "two plus two").token_ids, "stop", 5))
    assert "these checks failed: text" in desk.run("result", served).err


def test_without_the_models_tokenizer_the_text_is_shown_as_the_workers_word(desk, served):
    (desk.home / "models.json").unlink()
    assert ModelList(desk.home / "models.json").all() == ()
    ran = desk.run("result", served)
    assert (ran.status, ran.out) == (0, "two plus two\n")
    assert "Not checked, text" in ran.err


def test_control_characters_in_an_answer_never_reach_the_terminal(desk, worker):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "\x1b[2Jclear"))
    ran = desk.run("result", task)
    assert ran.out == "\\x1b[2Jclear\n"
    as_json = desk.run("result", task, "--json")
    assert "\x1b" not in as_json.out
    assert as_json.json()["answers"][0]["text"] == "\x1b[2Jclear"
    assert "\x1b" not in desk.run("result", task, "--format", "batch").out


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"custom_id": "prompt-1"}\n', b"\xff\xfe"])
def test_a_broken_output_is_one_line(desk, served, content):
    desk.store.put(output_key(bytes.fromhex(served[2:])), content)
    ran = desk.run("result", served)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"quern": 2}'])
def test_a_broken_receipt_is_one_line(desk, served, content):
    desk.store.put(receipt_key(bytes.fromhex(served[2:])), content)
    ran = desk.run("result", served)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1


def test_an_answer_that_is_posted_and_missing_from_the_store_may_come_later(desk, served, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = desk.run("result", served, "--store", str(tmp_path / "empty"))
    assert ran.status == 3
    assert "STORE-004" in ran.err


def test_an_answer_is_found_in_the_store_its_worker_announced(desk, worker, tmp_path):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "four"))
    elsewhere = tmp_path / "elsewhere"
    (desk.home / "store").rename(elsewhere)
    (desk.home / "store").mkdir()
    assert desk.run("result", task).status == 3
    worker.announce_store(elsewhere.as_uri())
    ran = desk.run("result", task)
    assert (ran.status, ran.out) == (0, "four\n")


@pytest.mark.parametrize("url", ["ssh://host/folder", "https://[host", "https://host:99999/x"])
def test_an_announced_store_that_would_run_something_or_is_none_is_not_followed(desk, worker, url):
    task = desk.submit()
    worker.serve(task, answer("prompt-1", "four"))
    worker.announce_store(url)
    assert desk.run("result", task).out == "four\n"


def test_a_prompt_that_was_not_served_says_so(desk, worker, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"custom_id": n, "body": {"prompt": "what"}}) + "\n" for n in "ab"))
    task = desk.run("submit", "--batch", str(path), "--yes", "--json").json()["task"]
    worker.serve(task, answer("a", "four"), OutputEntry("b", "", (), "error", 0, error="too long"))
    assert desk.run("result", task).out == "a: four\nb: (not served: too long)\n"
