"""Transactions: sent once, found again, replaced, and never lost, whatever fails in between."""

import sqlite3
from dataclasses import replace

import pytest
from eth_account import Account

from chain.call import Call
from chain.devnet import dev_account
from chain.journal import Intent, IntentState, Journal, MemoryJournal
from chain.look import read_chain
from chain.revert import MarketRevert
from chain.rpc import GarbledAnswer, Rpc, RpcUnavailable
from chain.sender import NotEnoughEther, NotMined, Sender, SenderPolicy, TransactionReverted
from worker.database import Database
from worker.journal import DatabaseJournal

KEY = dev_account(3)


def durable(folder):
    """The worker's journal: the one that has to outlive its process."""
    return DatabaseJournal(Database(folder / "worker.db"))


@pytest.fixture
def by_hand(rpc):
    """Blocks only when the test mines them."""
    rpc.call("evm_setAutomine", False)
    return lambda count=1: [rpc.call("evm_mine") for _ in range(count)]


@pytest.fixture
def deposit(market):
    return market.deposit(KEY.address, 7)


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


def noted(journal: Journal, key: str) -> Intent:
    intent = journal.get(key)
    assert intent is not None
    return intent


def states(journal, *keys):
    return [noted(journal, key).state for key in keys]


def test_an_intent_goes_from_planned_to_confirmed(rpc, market, by_hand, deposit):
    journal = MemoryJournal()
    sender = Sender(rpc, KEY, journal, SenderPolicy(confirmations=2))
    sender.plan("a", deposit)
    assert states(journal, "a") == [IntentState.PLANNED]
    assert sender.pump() == []
    assert states(journal, "a") == [IntentState.SENT]
    by_hand()
    assert sender.pump() == []
    assert states(journal, "a") == [IntentState.MINED]
    by_hand(2)
    (ended,) = sender.pump()
    assert (ended.state, ended.succeeded) == (IntentState.CONFIRMED, True)
    assert market.account(KEY.address).free_units == 7
    assert sender.pump() == []


def test_planning_the_same_key_again_sends_nothing_more(rpc, market, deposit):
    sender = Sender(rpc, KEY)
    for _ in range(3):
        sender.plan("a", deposit)
        sender.pump()
    assert market.account(KEY.address).free_units == 7


def test_many_are_sent_in_one_step_with_consecutive_nonces(rpc, market, by_hand, deposit):
    journal = MemoryJournal()
    sender = Sender(rpc, KEY, journal)
    first = rpc.nonce(KEY.address)
    for number in range(5):
        sender.plan(str(number), deposit)
    sender.pump()
    assert [noted(journal, str(number)).nonce for number in range(5)] == list(range(first, first + 5))
    by_hand()
    assert len(sender.pump()) == 5
    assert market.account(KEY.address).free_units == 35


def test_a_crash_before_sending_sends_the_same_bytes_later(
    rpc, market, by_hand, deposit, tmp_path, monkeypatch
):
    """The process dies between the durable write and the network: what was signed is what goes out."""
    journal = durable(tmp_path)
    sender = Sender(rpc, KEY, journal)

    def die():
        raise KeyboardInterrupt

    monkeypatch.setattr(sender, "_send_signed", die)
    sender.plan("a", deposit)
    with pytest.raises(KeyboardInterrupt):
        sender.pump()
    signed = noted(journal, "a")
    assert signed.state is IntentState.SIGNED
    journal._database.close()

    journal = durable(tmp_path)
    sender = Sender(rpc, KEY, journal)
    sender.plan("a", deposit)
    sender.pump()
    by_hand()
    (ended,) = sender.pump()
    assert ended.receipt is not None
    assert (ended.raw, ended.receipt.tx_hash) == (signed.raw, signed.hashes[0])
    assert market.account(KEY.address).free_units == 7
    journal._database.close()


def test_a_crash_after_sending_finds_the_outcome(rpc, market, deposit, tmp_path, monkeypatch):
    """The process dies before it can note that it sent: the bytes go out again and the node knows them."""
    journal = durable(tmp_path)
    sender = Sender(rpc, KEY, journal)
    sender.plan("a", deposit)
    put = journal.put

    def forget_that_it_was_sent(*intents):
        put(*(intent for intent in intents if intent.state is not IntentState.SENT))

    monkeypatch.setattr(journal, "put", forget_that_it_was_sent)
    sender.pump()
    assert states(journal, "a") == [IntentState.SIGNED]
    assert market.account(KEY.address).free_units == 7
    journal._database.close()

    journal = durable(tmp_path)
    (ended,) = Sender(rpc, KEY, journal).pump()
    assert ended.succeeded
    assert market.account(KEY.address).free_units == 7
    journal._database.close()


def test_bytes_the_pool_already_holds_are_no_failure(rpc, market, by_hand, deposit):
    journal = MemoryJournal()
    sender = Sender(rpc, KEY, journal)
    sender.plan("a", deposit)
    sender.pump()
    journal.put(replace(noted(journal, "a"), state=IntentState.SIGNED))
    sender.pump()
    assert states(journal, "a") == [IntentState.SENT]
    by_hand()
    (ended,) = sender.pump()
    assert ended.succeeded
    assert market.account(KEY.address).free_units == 7


def test_a_stuck_transaction_is_replaced_at_a_better_price(rpc, market, by_hand, deposit):
    journal, clock = MemoryJournal(), Clock()
    sender = Sender(rpc, KEY, journal, SenderPolicy(replace_after_secs=30, resend_after_secs=10), clock)
    sender.plan("a", deposit)
    sender.pump()
    before = noted(journal, "a")
    clock.now += 11
    sender.pump()
    assert noted(journal, "a").hashes == before.hashes
    clock.now += 31
    sender.pump()
    after = noted(journal, "a")
    assert len(after.hashes) == 2
    assert after.nonce == before.nonce
    assert after.max_fee_wei >= before.max_fee_wei * 1.125
    assert after.priority_fee_wei >= before.priority_fee_wei * 1.125
    by_hand()
    (ended,) = sender.pump()
    assert ended.receipt is not None
    assert ended.receipt.tx_hash == after.hashes[1]
    assert market.account(KEY.address).free_units == 7


def test_the_price_of_a_replacement_is_capped(rpc, by_hand, deposit):
    journal, clock = MemoryJournal(), Clock()
    cap = 5 * 10**9
    sender = Sender(rpc, KEY, journal, SenderPolicy(replace_after_secs=30, max_fee_wei=cap), clock)
    sender.plan("a", deposit)
    for _ in range(40):
        sender.pump()
        clock.now += 31
    intent = noted(journal, "a")
    assert cap * 8 // 9 - 2 <= intent.max_fee_wei <= cap


def test_a_replacement_bids_no_more_than_the_call_is_worth(rpc, by_hand, deposit, tmp_path):
    journal, clock = durable(tmp_path), Clock()
    sender = Sender(rpc, KEY, journal, SenderPolicy(replace_after_secs=30), clock)
    gas_limit, worth_wei = 200_000, 200_000 * 6 * 10**9
    sender.plan("a", deposit, gas_limit, worth_wei=worth_wei)
    for _ in range(40):
        sender.pump()
        clock.now += 31
    intent = noted(durable(tmp_path), "a")
    assert intent.worth_wei == worth_wei
    assert worth_wei * 8 // 9 - 2 * gas_limit <= intent.max_fee_wei * gas_limit <= worth_wei


def test_what_is_worth_less_than_it_costs_now_goes_out_again_as_it_was(rpc, by_hand, deposit):
    journal, clock = MemoryJournal(), Clock()
    sender = Sender(rpc, KEY, journal, SenderPolicy(replace_after_secs=30), clock)
    sender.plan("a", deposit, 200_000, worth_wei=1)
    sender.pump()
    before = noted(journal, "a")
    clock.now += 31
    sender.pump()
    after = noted(journal, "a")
    assert (after.hashes, after.raw, after.state) == (before.hashes, before.raw, IntentState.SENT)


def test_a_nonce_taken_by_another_transaction_drops_the_intent(rpc, market, by_hand, deposit):
    """Somebody uses the same key elsewhere: the outcome is read from the chain, never assumed."""
    journal, clock = MemoryJournal(), Clock()
    sender = Sender(rpc, KEY, journal, SenderPolicy(), clock)
    sender.plan("a", deposit)
    sender.pump()
    stolen = KEY.sign_transaction(
        {
            "type": 2,
            "chainId": 31_337,
            "nonce": noted(journal, "a").nonce,
            "to": KEY.address,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": 900 * 10**9,
            "maxPriorityFeePerGas": 800 * 10**9,
        }
    )
    rpc.call("eth_sendRawTransaction", "0x" + stolen.raw_transaction.hex())
    by_hand()
    assert sender.pump() == []
    clock.now += 3
    (ended,) = sender.pump()
    assert ended.state is IntentState.DROPPED
    assert "another transaction" in ended.reason
    assert market.account(KEY.address).free_units == 0


def test_a_call_that_would_revert_is_dropped_with_its_reason_and_costs_nothing(rpc, market, deposit):
    sender = Sender(rpc, KEY)
    before = rpc.balance_wei(KEY.address)
    sender.plan("bad", market.cancel(b"\x55" * 32))
    (ended,) = sender.pump()
    assert ended.state is IntentState.DROPPED
    assert ended.reason.startswith("WrongState(")
    assert rpc.balance_wei(KEY.address) == before
    with pytest.raises(MarketRevert, match="WrongState"):
        sender.send_and_wait(market.cancel(b"\x55" * 32))


def test_a_revert_under_automine_is_mined_and_its_nonce_spent(rpc, market, deposit):
    """Hardhat raises at the send and mines all the same; the next transaction must take the next nonce."""
    sender = Sender(rpc, KEY)
    before = rpc.nonce(KEY.address)
    with pytest.raises(TransactionReverted, match="WrongState"):
        sender.send_many([market.cancel(b"\x55" * 32)], gas_limit=200_000)
    assert rpc.nonce(KEY.address) == before + 1
    sender.send_and_wait(deposit)
    assert market.account(KEY.address).free_units == 7


def test_calls_with_a_limit_may_build_on_each_other(rpc, market, by_hand):
    rpc.call("evm_setIntervalMining", 100)
    receipts = Sender(rpc, KEY).send_many(
        [market.deposit(KEY.address, 9), market.withdraw(9, KEY.address)], gas_limit=200_000
    )
    assert [receipt.success for receipt in receipts] == [True, True]
    assert market.account(KEY.address).free_units == 0


def test_an_empty_key_is_told_what_it_lacks_and_sends_nothing_later(rpc, market):
    poor = Account.create()
    sender = Sender(rpc, poor)
    with pytest.raises(NotEnoughEther) as caught:
        sender.send_and_wait(market.announce_store("file:///x"))
    assert caught.value.needed_wei > caught.value.balance_wei == 0
    rpc.call("hardhat_setBalance", poor.address, hex(10**18))
    assert sender.pump() == []
    assert rpc.nonce(poor.address) == 0


def test_waiting_ends_with_what_is_known(rpc, by_hand, deposit):
    with pytest.raises(NotMined) as caught:
        Sender(rpc, KEY).send_and_wait(deposit, timeout_secs=0.3)
    assert caught.value.exit_status == 3


def test_a_mined_transaction_of_a_chain_that_is_gone_is_sent_again(rpc, market, by_hand, deposit):
    sender = Sender(rpc, KEY, journal := MemoryJournal(), SenderPolicy(confirmations=3))
    snapshot = rpc.call("evm_snapshot")
    sender.plan("a", deposit)
    sender.pump()
    by_hand()
    sender.pump()
    assert states(journal, "a") == [IntentState.MINED]
    rpc.call("evm_revert", snapshot)
    rpc.call("evm_setAutomine", False)
    sender.pump()
    assert states(journal, "a") == [IntentState.SENT]
    by_hand(4)
    (ended,) = sender.pump()
    assert ended.succeeded
    assert market.account(KEY.address).free_units == 7


def test_a_node_that_is_away_loses_nothing(rpc, market, deposit):
    journal = MemoryJournal()
    away = Rpc("http://127.0.0.1:1", timeout_secs=1)
    sender = Sender(away, KEY, journal)
    sender.plan("a", deposit)
    with pytest.raises(RpcUnavailable):
        sender.pump()
    (ended,) = Sender(rpc, KEY, journal).pump() or Sender(rpc, KEY, journal).pump()
    assert ended.succeeded
    assert market.account(KEY.address).free_units == 7


def test_a_transaction_no_node_takes_frees_its_nonce(rpc, market, deposit):
    sender = Sender(rpc, KEY, journal := MemoryJournal())
    sender.plan("huge", Call("deposit", deposit.to, b"\0" * 200_000), gas_limit=30_000, simulate=False)
    sender.plan("good", deposit)
    for _ in range(3):
        sender.pump()
    assert noted(journal, "huge").state is IntentState.DROPPED
    assert "refuses" in noted(journal, "huge").reason
    sender.plan("next", deposit)
    for _ in range(3):
        sender.pump()
    assert noted(journal, "next").succeeded
    assert noted(journal, "good").succeeded
    assert market.account(KEY.address).free_units == 14


def test_a_journal_keeps_everything_but_events(rpc, deposit, tmp_path):
    journal = durable(tmp_path)
    sender = Sender(rpc, KEY, journal)
    sender.plan("a", deposit)
    ended = sender.pump() or sender.pump()
    assert noted(journal, "a") == ended[0]
    assert journal.get("b") is None
    assert journal.live() == []
    journal._database.close()


def test_a_journal_is_on_disk_when_put_returns(rpc, deposit, tmp_path):
    journal = durable(tmp_path)
    Sender(rpc, KEY, journal).plan("a", deposit)
    other = sqlite3.connect(tmp_path / "worker.db")
    assert other.execute("select key, live from intent").fetchall() == [("a", 1)]
    assert journal._database._connection.execute("pragma synchronous").fetchone() == (2,)
    other.close()
    journal._database.close()


def test_a_transaction_that_waits_for_an_orphaned_one_is_mined_all_the_same(rpc, market, by_hand, deposit):
    """The first ended well, so nobody sends it again; without its nonce the second could never be mined."""
    journal, clock = MemoryJournal(), Clock()
    sender = Sender(rpc, KEY, journal, clock=clock)
    before = rpc.call("evm_snapshot")
    sender.plan("orphaned", deposit)
    sender.pump()
    by_hand()
    sender.pump()
    assert states(journal, "orphaned") == [IntentState.CONFIRMED]
    sender.plan("waiting", deposit, gas_limit=100_000)
    sender.pump()
    assert rpc.call("evm_revert", before) is True
    for _ in range(4):
        clock.now += 3
        sender.pump()
        by_hand()
    assert states(journal, "waiting") == [IntentState.CONFIRMED]
    assert market.account(KEY.address).free_units == 7
    assert rpc.nonce(KEY.address) == noted(journal, "waiting").nonce + 1


def test_a_count_of_a_lagging_node_gives_no_used_nonce(rpc, market, deposit):
    journal, clock = MemoryJournal(), Clock()

    class Lagging(Rpc):
        behind = 0

        def batch(self, calls):
            return [
                hex(int(str(answer), 16) - self.behind) if method == "eth_getTransactionCount" else answer
                for (method, _), answer in zip(calls, super().batch(calls), strict=True)
            ]

    node = Lagging(rpc.url)
    sender = Sender(node, KEY, journal, clock=clock)
    for key in ("a", "b"):
        sender.plan(key, deposit)
        sender.pump()
        sender.pump()
    node.behind = 1
    sender.plan("c", deposit)
    sender.pump()
    assert states(journal, "a", "b", "c") == [IntentState.CONFIRMED] * 2 + [IntentState.PLANNED]
    node.behind = 0
    sender.pump()
    sender.pump()
    assert states(journal, "c") == [IntentState.CONFIRMED]
    assert market.account(KEY.address).free_units == 21


def test_a_count_that_stays_lower_is_the_chains(rpc, market, deposit):
    """A reorganisation took a transaction back, and its nonce is free."""
    journal, clock = MemoryJournal(), Clock()
    sender = Sender(rpc, KEY, journal, clock=clock)
    before = rpc.call("evm_snapshot")
    sender.plan("orphaned", deposit)
    sender.pump()
    sender.pump()
    assert rpc.call("evm_revert", before) is True
    sender.plan("next", deposit)
    sender.pump()
    assert states(journal, "orphaned", "next") == [IntentState.CONFIRMED, IntentState.PLANNED]
    clock.now += 3
    sender.pump()
    sender.pump()
    assert states(journal, "next") == [IntentState.CONFIRMED]
    assert noted(journal, "next").nonce == noted(journal, "orphaned").nonce
    assert market.account(KEY.address).free_units == 7


@pytest.mark.parametrize("nonsense", [None, "many", {}, ""])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_number_that_is_none_is_the_nodes_fault_and_passes(rpc, nonsense, place):
    class Garbling(Rpc):
        def batch(self, calls):
            answers = super().batch(calls)
            answers[place] = nonsense
            return answers

    with pytest.raises(GarbledAnswer, match="garbled number"):
        read_chain(Garbling(rpc.url), KEY.address, [])
