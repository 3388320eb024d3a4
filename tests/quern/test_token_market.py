"""A market of an ERC-20 through the command line: the same days, in its own coins; gas stays ether."""

from dataclasses import replace

import pytest

from chain import deployment as deployments
from chain.deployer import Creator, PanelTerms, deploy
from chain.devnet import dev_account
from chain.market import Market
from chain.presets import PRESETS
from chain.sender import Sender
from chain.token import Token
from tests.chain.coin import coin
from tests.quern.conftest import HandWorker, answer
from wallet.keystore import Keystore
from wallet.models import announced_uri

COIN = 10**6
BANK = dev_account(0)


@pytest.fixture
def coins(desk):
    """The desk, moved to a market of a token of 6 decimals; alice has ten coins."""
    creator = Creator(desk.rpc, BANK, desk.rpc.chain_id(), 60)
    token = Token(desk.rpc, creator.create(coin(), ["address"], [BANK.address]))
    members = tuple(dev_account(index).address for index in (7, 8, 9))
    parameters = replace(PRESETS["devnet"], token=token.address, bond_unit_units=COIN // 100)
    parameters = replace(parameters, challenge_bond_units=COIN // 50, demand_fee_units=COIN // 500)
    deployment = deploy(desk.rpc, BANK, parameters, PanelTerms(members, 2, 20, 20))
    deployments.save(deployment, desk.home / "devnet" / "deployment.json")
    alice = Keystore(desk.home / "wallets").get("alice").address
    bank = Sender(desk.rpc, BANK)
    bank.send_and_wait(transfer(token, alice, 10 * COIN))
    tiny = (desk.home / "models.json").read_text().split('"model_id": "0x')[1][:64]
    model = bytes.fromhex(tiny)
    market = Market(desk.rpc, deployment)
    bank.send_and_wait(market.announce(model, announced_uri(model, "tiny")))
    return replace(desk, market=market), token


def transfer(token: Token, to: str, amount: int):
    call = token.approve(to, amount)
    return replace(call, name="transfer", data=bytes.fromhex("a9059cbb") + call.data[4:])


def test_money_is_deposited_shown_and_withdrawn_in_coins(coins):
    desk, _ = coins
    ran = desk.run("money", "deposit", "2.5")
    assert ran.status == 0, ran.err
    assert "2.5 C?N free" in ran.out
    told = desk.run("money", "--json").json()
    assert (told["free_units"], told["outside_units"]) == (2_500_000, 7_500_000)
    assert "to pay it with" in desk.run("money").out
    assert desk.run("money", "withdraw", "1").status == 0
    assert desk.run("money", "--json").json()["outside_units"] == 8_500_000


def test_a_deposit_takes_one_transaction_where_the_token_knows_permits(coins):
    desk, token = coins
    before = desk.rpc.block_number()
    assert desk.run("money", "deposit", "1").status == 0
    assert desk.rpc.block_number() == before + 1
    alice = Keystore(desk.home / "wallets").get("alice").address
    assert token.allowance(alice, desk.market.deployment.market) == 0


def test_a_token_that_refuses_the_permit_is_approved_for_exactly_the_amount(coins, monkeypatch):
    desk, token = coins
    monkeypatch.setattr(Token, "nonce", lambda self, owner: 77)
    before = desk.rpc.block_number()
    assert desk.run("money", "deposit", "1").status == 0
    assert desk.rpc.block_number() == before + 2
    alice = Keystore(desk.home / "wallets").get("alice").address
    assert token.allowance(alice, desk.market.deployment.market) == 0


def test_a_task_is_asked_served_and_paid_in_coins(coins):
    desk, token = coins
    ran = desk.run("submit", "what is 2 + 2", "--yes", "--json", "--max-fee", "0.5", "--tip", "0.1")
    assert ran.status == 0, ran.err
    assert "at most 0.6 C?N" in ran.err
    assert ran.json()["max_price_units"] == 600_000
    worker = CoinWorker(desk, token)
    worker.serve(ran.json()["task"], answer("prompt-1", "four"))
    assert desk.run("result", ran.json()["task"]).out == "four\n"
    worker.settle(ran.json()["task"])
    assert "C?N" in desk.run("watch", ran.json()["task"], "--to-the-end").err
    audited = desk.run("audit", ran.json()["task"], "--engine", "none", "--json").json()
    assert [step["outcome"] for step in audited["steps"][:3]] == ["passed"] * 3
    quoted = desk.run("quote", "--json").json()
    assert (quoted["recent_tasks"], quoted["currency"]) == (1, "C?N")


def test_a_price_must_be_named_while_nothing_was_settled(coins):
    desk, _ = coins
    for command in (("quote",), ("submit", "what is 4", "--yes")):
        ran = desk.run(*command)
        assert (ran.status, "QUOTE-002" in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("money", "deposit", "11"),
        ("money", "deposit", "0.0000001"),
        ("money", "deposit", "1ether"),
        ("submit", "what is 4", "--yes", "--max-fee", "11"),
        ("submit", "what is 4", "--yes", "--max-fee", "5", "--lease-secs", "1"),
    ],
)
def test_what_cannot_be_paid_in_coins_is_refused_before_anything_is_sent(coins, arguments):
    desk, _ = coins
    before = desk.footprint()
    ran = desk.run(*arguments)
    assert ran.status == 2
    assert desk.footprint() == before


class CoinWorker(HandWorker):
    """Has its bonds in coins."""

    def __init__(self, desk, token) -> None:
        Sender(desk.rpc, BANK).send_and_wait(transfer(token, dev_account(5).address, COIN))
        Sender(desk.rpc, dev_account(5)).send_and_wait(token.approve(desk.market.deployment.market, COIN))
        super().__init__(desk, deposit_units=COIN)
