"""Accounts with delegated code (EIP-7702) on a real node: the key still signs, the code may sign too, money moves."""

import pytest
from eth_account import Account

from chain.compiler import Artifact
from chain.deployer import Creator
from chain.devnet import dev_account
from chain.revert import MarketRevert
from chain.sender import Sender
from protocol.request import cancel_digest, task_id
from tests.contracts.law.evm import hostile

ETHER_WEI = 10**18
OWNER_KEY = b"\x77" * 32
OPERATOR = dev_account(3)


@pytest.fixture
def send(rpc):
    """Signs and sends any transaction of an account, also of the kind that sets code."""

    def sent(account, **fields):
        nonce = int(rpc.call("eth_getTransactionCount", account.address, "latest"), 16)
        whole = {
            "chainId": rpc.chain_id(),
            "nonce": nonce,
            "gas": 1_000_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 1,
            "value": 0,
            "data": b"",
        } | fields
        raw = account.sign_transaction(whole).raw_transaction
        receipt = rpc.call("eth_getTransactionReceipt", rpc.call("eth_sendRawTransaction", "0x" + raw.hex()))
        assert int(receipt["status"], 16) == 1, receipt

    return sent


@pytest.fixture
def wallet_code(rpc):
    """Where the code stands that accounts delegate to: it signs what its account was told to sign."""
    creation, _, abi = hostile()["Wallet"]
    creator = Creator(rpc, OPERATOR, rpc.chain_id(), 60)
    return creator.create(Artifact("Wallet", creation, b""), [], []), abi


@pytest.fixture
def owner(rpc, market, asker, send, wallet_code):
    """A key whose account has handed itself to that code, with money in the market and on its own."""
    account = Account.from_key(OWNER_KEY)
    send(OPERATOR, to=account.address, value=ETHER_WEI)
    authorization = account.sign_authorization(
        {"chainId": rpc.chain_id(), "address": wallet_code[0], "nonce": 0}
    )
    send(OPERATOR, to=account.address, authorizationList=[authorization])
    code = rpc.call("eth_getCode", account.address, "latest")
    assert code == "0xef0100" + wallet_code[0][2:].lower()
    asker.send_and_wait(market.deposit(account.address, 100_000))
    return account


def by_key(account, digest):
    return bytes(account.unsafe_sign_hash(digest).signature)


def test_the_key_of_an_account_with_delegated_code_signs_requests_and_cancellations(
    market, asker, owner, make_request
):
    request = make_request(requester=owner.address)
    task = task_id(market.domain, request)
    asker.send_and_wait(market.submit_by_sig(request, by_key(owner, task)))
    assert market.account(owner.address).free_units == 100_000 - 1_005
    asker.send_and_wait(market.cancel_by_sig(task, by_key(owner, cancel_digest(market.domain, task))))
    assert market.account(owner.address).free_units == 100_000


def test_the_code_of_the_account_signs_what_it_was_told_to_and_nothing_else(
    rpc, market, asker, owner, send, wallet_code, make_request
):
    request = make_request(requester=owner.address)
    task = task_id(market.domain, request)
    with pytest.raises(MarketRevert, match="BadSignature"):
        asker.send_and_wait(market.submit_by_sig(request, b"by code"))
    send(OPERATOR, to=owner.address, data=wallet_code[1].data("sign", task))
    asker.send_and_wait(market.submit_by_sig(request, b"by code"))
    with pytest.raises(MarketRevert, match="BadSignature"):
        asker.send_and_wait(market.submit_by_sig(make_request(requester=owner.address), b"by code"))


def test_after_the_code_is_taken_back_the_key_alone_signs(
    rpc, market, asker, owner, send, wallet_code, make_request
):
    request = make_request(requester=owner.address)
    task = task_id(market.domain, request)
    send(OPERATOR, to=owner.address, data=wallet_code[1].data("sign", task))
    nobody = "0x" + "00" * 20
    # Its own transaction uses one number of the account, the authorization the next.
    nonce = int(rpc.call("eth_getTransactionCount", owner.address, "latest"), 16)
    taken_back = owner.sign_authorization({"chainId": rpc.chain_id(), "address": nobody, "nonce": nonce + 1})
    send(owner, to=owner.address, authorizationList=[taken_back])
    assert rpc.call("eth_getCode", owner.address, "latest") == "0x"
    with pytest.raises(MarketRevert, match="BadSignature"):
        asker.send_and_wait(market.submit_by_sig(request, b"by code"))
    asker.send_and_wait(market.submit_by_sig(request, by_key(owner, task)))
    assert market.task(task).requester == owner.address


def test_an_account_with_delegated_code_withdraws_to_itself(rpc, market, owner):
    sender = Sender(rpc, owner)
    sender.send_and_wait(market.withdraw(100_000, owner.address))
    assert market.account(owner.address).free_units == 0
    with pytest.raises(MarketRevert, match="InsufficientFree"):
        sender.send_and_wait(market.withdraw(1, owner.address))
