"""A market of an ERC-20 from the same code: deposits by allowance and by permit, amounts in its own units."""

from dataclasses import replace

import pytest
from eth_typing import Hash32

from chain import deployment as deployments
from chain.deployer import ArbiterTooSlow, Creator, NotAnArbiter, PanelTerms, deploy
from chain.deployment import ArbiterKind
from chain.devnet import dev_account
from chain.market import Market
from chain.panel import NoPanel, Panel
from chain.presets import PRESETS
from chain.revert import MarketRevert
from chain.sender import Sender
from chain.token import NotAToken, Token
from protocol.currency import ETHER, Currency
from protocol.permit import permit_digest
from tests.chain.coin import coin as coin_artifact
from tests.chain.conftest import ASKER

MEMBERS = tuple(dev_account(index).address for index in (7, 8, 9))
PANEL = PanelTerms(MEMBERS, 2, 20, 20)


@pytest.fixture
def coin(rpc):
    """All of it is the asker's."""
    creator = Creator(rpc, ASKER, rpc.chain_id(), 60)
    return Token(rpc, creator.create(coin_artifact(), ["address"], [ASKER.address]))


@pytest.fixture
def deployment(rpc, coin):
    return deploy(rpc, dev_account(0), replace(PRESETS["devnet"], token=coin.address), PANEL)


@pytest.fixture
def token_market(rpc, deployment):
    return Market(rpc, deployment)


def test_a_token_market_counts_in_the_tokens_own_units(rpc, deployment, coin, tmp_path):
    assert deployment.currency == Currency("C?N", 6)
    assert deployment.currency.show(1_500_000) == "1.5 C?N"
    file = tmp_path / "own.json"
    deployments.save(deployment, file)
    assert deployments.load(file) == deployment
    deployments.check(deployment, rpc)


def test_a_token_comes_in_by_allowance_and_leaves_to_the_last_unit(rpc, token_market, coin):
    asker = Sender(rpc, ASKER)
    with pytest.raises(MarketRevert):
        asker.send_and_wait(token_market.deposit(ASKER.address, 5_000_000))
    asker.send_and_wait(coin.approve(token_market.deployment.market, 5_000_000))
    assert coin.allowance(ASKER.address, token_market.deployment.market) == 5_000_000
    asker.send_and_wait(token_market.deposit(MEMBERS[0], 5_000_000))
    assert token_market.account(MEMBERS[0]).free_units == token_market.balance_units() == 5_000_000
    member = Sender(rpc, dev_account(7))
    member.send_and_wait(token_market.withdraw(5_000_000, MEMBERS[1]))
    assert coin.balance_of(MEMBERS[1]) == 5_000_000
    assert token_market.balance_units() == 0


def test_a_permit_spares_the_allowance(rpc, token_market, coin):
    market = token_market.deployment.market
    deadline = rpc.latest().timestamp + 60
    digest = permit_digest(
        coin.domain_separator(), ASKER.address, market, 70, coin.nonce(ASKER.address), deadline
    )
    signed = ASKER.unsafe_sign_hash(Hash32(digest))
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    call = token_market.deposit_with_permit(ASKER.address, 70, deadline, signed.v, r, s)
    Sender(rpc, ASKER).send_and_wait(call)
    assert token_market.account(ASKER.address).free_units == 70


def test_ether_sent_along_is_refused_by_name(rpc, token_market, make_request):
    with pytest.raises(MarketRevert, match="WrongCurrency"):
        Sender(rpc, ASKER).send_and_wait(token_market.submit(make_request(), 1))


def test_what_is_no_token_or_no_arbiter_is_refused_before_anything_is_sent(rpc, market):
    before = rpc.nonce(dev_account(0).address)
    wrong = {"token": market.deployment.registry}
    with pytest.raises(NotAToken, match="symbol"):
        deploy(rpc, dev_account(0), replace(PRESETS["devnet"], **wrong), PANEL)
    with pytest.raises(NotAnArbiter, match="rulingSecs"):
        deploy(rpc, dev_account(0), replace(PRESETS["devnet"], arbiter=MEMBERS[0]))
    with pytest.raises(ArbiterTooSlow, match="65"):
        deploy(rpc, dev_account(0), replace(PRESETS["devnet"], arbiter_timeout_secs=64), PANEL)
    assert rpc.nonce(dev_account(0).address) == before
    assert market.deployment.currency == ETHER


def test_an_arbiter_that_is_there_already_may_serve_another_market(rpc, market):
    again = replace(market.deployment.parameters, window_secs=6)
    deployment = deploy(rpc, dev_account(0), again)
    assert deployment.arbiter == market.deployment.arbiter
    assert deployment.arbiter_kind is ArbiterKind.PANEL
    assert Panel(rpc, deployment).threshold() == 2
    assert Panel(rpc, deployment).ruling_secs() == 40
    with pytest.raises(NoPanel):
        Panel(rpc, replace(deployment, arbiter_kind=ArbiterKind.OTHER))
