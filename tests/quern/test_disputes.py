"""A result held against its worker, through the command line: a leaf shown, a panel that rules, money that moves."""

import threading
import time

import pytest

from chain.devnet import PANEL_ACCOUNTS, dev_account
from tests.quern.conftest import PASSWORD, answer
from wallet.keystore import Keystore


@pytest.fixture
def posted(desk, worker):
    """A task with a result inside its window; the wallet is the requester's."""
    task = desk.submit("what is 2 + 2", "--max-fee", "2000000")
    worker.serve(task, answer("prompt-1", "two plus two"))
    return task


@pytest.fixture
def members(desk):
    """Wallets `m0`, `m1`, `m2` of the devnet's panel."""
    keystore = Keystore(desk.home / "wallets", scrypt_work=1 << 10)
    return [
        keystore.import_key(f"m{place}", dev_account(index).key.hex(), PASSWORD)
        for place, index in enumerate(PANEL_ACCOUNTS)
    ]


AS_ALICE = ("--wallet", "alice")


def meanwhile(action) -> threading.Thread:
    def later() -> None:
        time.sleep(1)
        action()

    thread = threading.Thread(target=later)
    thread.start()
    return thread


def test_a_demanded_leaf_is_shown_and_is_that_of_the_stored_output(desk, worker, posted):
    answering = meanwhile(lambda: worker.answer(posted, 0))
    ran = desk.run("demand", posted, "--leaf", "0", "--yes", "--json")
    answering.join()
    assert ran.status == 0, ran.err
    told = ran.json()
    assert (told["state"], told["same_as_stored"]) == ("answered", True)
    assert told["text"] == "two plus two"
    again = desk.run("demand", posted, "--leaf", "0")
    assert "demanded before; nothing was sent" in again.err
    assert "The stored output has the same tokens." in again.out


def test_an_output_that_is_not_the_one_shown_on_chain_is_said_to_be_so(desk, worker, posted):
    answering = meanwhile(lambda: worker.answer(posted, 0))
    desk.run("demand", posted, "--leaf", "0", "--yes")
    answering.join()
    path = desk.home / "store" / posted[2:] / "output"
    path.write_bytes(path.read_bytes().replace(b"[6,7,6]", b"[6,7,8]"))
    assert "OTHER TOKENS" in desk.run("demand", posted, "--leaf", "0").out


def test_a_demand_that_nobody_answers_returns_all_money(desk, posted):
    fee = desk.market.deployment.parameters.demand_fee_units
    ran = desk.run("demand", posted, "--leaf", "0", "--yes", "--timeout-secs", "0")
    assert (ran.status, "DISPUTE-004" in ran.err) == (3, True)
    assert desk.run("money", "--json").json()["waiting"][1]["role"] == "demand of leaf 0"
    desk.later(60)
    ran = desk.run("demand", posted, "--leaf", "0", "--json")
    assert ran.status == 0, ran.err
    assert ran.json()["state"] == "lapsed"
    assert desk.run("money", "--json").json()["free_units"] == 2_000_000 + fee
    assert "its worker left a demand unanswered" in desk.run("result", posted).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("demand", "--leaf", "1"), "MERKLE-003"), (("challenge", "--wallet", "bob"), "WALLET-002")],
)
def test_what_cannot_be_held_against_anybody_is_refused(desk, posted, arguments, said):
    command, *options = arguments
    before = desk.footprint()
    ran = desk.run(command, posted, *options, "--yes")
    assert (ran.status, said in ran.err) == (2, True), ran.err
    assert desk.footprint() == before


def test_after_the_window_and_before_a_post_nothing_can_be_held_against_anybody(desk, worker):
    task = desk.submit("what is 2 + 2", "--max-fee", "2000000")
    for command in (("demand", task, "--leaf", "0"), ("challenge", task)):
        ran = desk.run(*command, "--yes")
        assert (ran.status, "DISPUTE-001" in ran.err) == (2, True), ran.err
    worker.serve(task, answer("prompt-1", "four"))
    desk.later(60)
    for command in (("demand", task, "--leaf", "0"), ("challenge", task)):
        ran = desk.run(*command, "--yes")
        assert (ran.status, "DISPUTE-002" in ran.err) == (2, True), ran.err


def test_a_faulty_answer_is_challenged_voted_on_and_paid_back(desk, posted, members):
    ran = desk.run("challenge", posted, "--yes", "--json", *AS_ALICE)
    assert ran.status == 0, ran.err
    again = desk.run("challenge", posted, "--yes", *AS_ALICE)
    assert (again.status, "DISPUTE-003" in again.err) == (2, True)
    listed = desk.run("panel", "list", "--json").json()
    assert [(each["task"], each["phase"]) for each in listed] == [(posted, "no hearing yet")]
    early = desk.run("panel", "vote", posted, "--faulty", "--yes", "--wallet", "m0")
    assert (early.status, "no hearing is open" in early.err) == (3, True)

    assert desk.run("panel", "open", posted, "--wallet", "m0").status == 0
    for member, vote in (("m0", "--faulty"), ("m1", "--sound"), ("m2", "--faulty")):
        ran = desk.run("panel", "vote", posted, vote, "--yes", "--wallet", member)
        assert ran.status == 0, ran.err
    assert "quern audit" in desk.run("panel", "show", posted).out
    for member, vote in (("m0", "faulty"), ("m1", "sound"), ("m2", "faulty")):
        assert desk.run("panel", "reveal", posted, "--wallet", member).out == f"Revealed: {vote}.\n"
    ran = desk.run("panel", "rule", posted, *AS_ALICE)
    assert (ran.status, ran.out.startswith("Ruled: faulty.")) == (0, True), ran.err

    assert "the arbiter found its answer faulty" in desk.run("result", posted).err
    parameters = desk.market.deployment.parameters
    free = desk.run("money", "--json", *AS_ALICE).json()["free_units"]
    assert free == 2_000_000 + parameters.challenge_bond_units + parameters.bond_unit_units // 2
    share = parameters.bond_unit_units // 4 // 2
    to = "0x" + "00" * 18 + "beef"
    assert desk.run("panel", "collect", "--to", to, "--wallet", "m0").status == 0
    assert desk.rpc.balance_wei(to) == share * 10**9
    for member in ("m0", "m1"):
        ran = desk.run("panel", "collect", "--wallet", member)
        assert (ran.status, "member earns by voting" in ran.err) == (2, True)
    assert desk.run("panel", "list").out == "Nothing is in dispute.\n"


def test_a_vote_is_found_again_by_the_key_alone(desk, posted, members, tmp_path, monkeypatch):
    desk.run("challenge", posted, "--yes", *AS_ALICE)
    desk.run("panel", "open", posted, "--wallet", "m0")
    for member in ("m0", "m1"):
        desk.run("panel", "vote", posted, "--sound", "--yes", "--wallet", member)
    waiting = desk.run("panel", "reveal", posted, "--wallet", "m0")
    assert (waiting.status, "others may still commit" in waiting.err) == (3, True)
    desk.later(30)
    for path in desk.home.glob("panel*"):  # nothing may be needed that lies on this disk
        path.unlink()
    for member in ("m0", "m1"):
        assert desk.run("panel", "reveal", posted, "--wallet", member).out == "Revealed: sound.\n"
    assert desk.run("panel", "rule", posted, "--wallet", "m0").status == 0
    assert desk.run("watch", posted, "--to-the-end", "--json").json()["state"] == "settled"


def test_votes_that_cannot_count_are_refused(desk, posted, members):
    desk.run("challenge", posted, "--yes", *AS_ALICE)
    desk.run("panel", "open", posted, "--wallet", "m0")
    assert "PANEL" in desk.run("panel", "open", posted, "--wallet", "m0").err

    def refused(status: int, said: str, *arguments: str) -> None:
        before = desk.footprint()
        ran = desk.run("panel", *arguments)
        assert (ran.status, said in ran.err) == (status, True), ran.err
        assert desk.footprint() == before

    refused(2, "members are", "vote", posted, "--faulty", "--yes", *AS_ALICE)
    refused(2, "give --faulty or --sound", "vote", posted, "--yes", "--wallet", "m0")
    refused(2, "committed no vote", "reveal", posted, "--wallet", "m0")
    refused(3, "2 are needed", "rule", posted, "--wallet", "m0")
    desk.run("panel", "vote", posted, "--faulty", "--yes", "--wallet", "m0")
    refused(2, "a vote is final", "vote", posted, "--sound", "--yes", "--wallet", "m0")
    desk.later(25)
    refused(2, "it had to come by", "vote", posted, "--sound", "--yes", "--wallet", "m1")
    desk.later(25)
    refused(2, "it had to come by", "reveal", posted, "--wallet", "m0")
    task = desk.submit("what is 4", "--max-fee", "2000000", *AS_ALICE)
    refused(2, "'quern panel list'", "open", task, "--wallet", "m0")


def test_money_in_dispute_is_said_to_wait_for_the_arbiter(desk, posted):
    desk.run("challenge", posted, "--yes", *AS_ALICE)
    waits = desk.run("money", "--json").json()["waiting"]
    assert [(wait["role"], wait["state"]) for wait in waits] == [
        ("escrow", "disputed"),
        ("challenge", "disputed"),
    ]
    assert all(wait["until"] for wait in waits)
    assert "the arbiter is to rule" in desk.run("money").out
