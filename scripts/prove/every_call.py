"""Every call that writes, made once on a devnet in its usual case, and the gas of its transaction."""

from dataclasses import replace

from eth_typing import Hash32

from chain.call import Call
from chain.deployer import Creator, PanelTerms, deploy
from chain.deployment import Deployment
from chain.devnet import PANEL_ACCOUNTS, dev_account
from chain.market import Market
from chain.panel import Panel
from chain.presets import PRESETS
from chain.rpc import Rpc
from chain.sender import Sender
from chain.token import Token
from protocol.evidence import make_answer
from protocol.merkle import output_root
from protocol.panel import vote_digest, vote_salt
from protocol.permit import permit_digest
from protocol.receipt import Body, Receipt, body_digest, commitment, leaf, replica_salt
from protocol.request import Request, cancel_digest, task_id
from tests.chain.coin import coin

MANY, ASKED = 32, 10
TOKENS = tuple(range(1_000, 1_070))
CLASS = b"\x0c" * 32
ETHER_UNITS = 10**9
ASKER, WORKER, DOUBTER, STRANGER = 1, 2, 5, 6
REPLICAS = (2, 3, 4)


class Stage:
    """A market whose actors have money and whose workers have claimed before. `gas` holds what calls cost."""

    def __init__(self, deployment: Deployment) -> None:
        self.rpc = Rpc(deployment.rpc_url)
        self.market = Market(self.rpc, deployment)
        self.panel = Panel(self.rpc, deployment)
        self.parameters = deployment.parameters
        self.gas: dict[str, int] = {}
        self._senders: dict[int, Sender] = {}
        self._requests = 0
        for index in (ASKER, DOUBTER, STRANGER, *REPLICAS):
            self.send(index, self.market.deposit(self.address(index), ETHER_UNITS))
        first = [self.ask() for _ in REPLICAS]
        for index, task in zip(REPLICAS, first, strict=True):
            self.send(index, self.market.claim_many([task]))
        # From here on nobody's number, and no empty slot of the sum that is burned, is written for the first time.
        self.send(REPLICAS[0], self.market.release(first[0]))

    def address(self, index: int) -> str:
        return str(dev_account(index).address)

    def sender(self, index: int) -> Sender:
        return self._senders.setdefault(index, Sender(self.rpc, dev_account(index)))

    def send(self, index: int, call: Call, name: str = "", items: int = 1) -> None:
        """`name`: the call whose gas this is, shared among so many items."""
        gas = self.sender(index).send_and_wait(call).gas_used
        if name:
            self.gas[name] = gas // items

    def wait(self, secs: int) -> None:
        self.rpc.call("evm_increaseTime", secs)
        self.rpc.call("evm_mine")

    def request(self, **changes: object) -> Request:
        self._requests += 1
        fields: dict[str, object] = {
            "requester": self.address(ASKER),
            "salt": body_digest(self.market.domain, self.body(bytes(32), ASKER, self._requests)),
            "model_id": b"\xa1" * 32,
            "input_digest": b"\xa2" * 32,
            "params_digest": b"\xa3" * 32,
            "max_fee_units": 400_000,
            "flat_percent": 20,
            "tip_units": 50_000,
            "max_output_tokens": 1_024,
            "bond_units": 1,
            "deadline": self.rpc.latest().timestamp + 3_600,
            "lease_secs": 300,
            "input_uri": "inputs/" + "a2" * 32,
        }
        return Request(**(fields | changes))  # type: ignore[arg-type]

    def ask(self, **changes: object) -> bytes:
        request = self.request(**changes)
        self.send(ASKER, self.market.submit(request))
        return task_id(self.market.domain, request)

    def id(self, request: Request) -> bytes:
        return task_id(self.market.domain, request)

    def body(self, task: bytes, index: int, prompt_tokens: int = 9) -> Body:
        digests = (output_root(TOKENS), b"\xb2" * 32, b"\xb3" * 32, b"\xb4" * 32)
        return Body(task, self.address(index), *digests, prompt_tokens, 1, 2)

    def receipt(self, task: bytes) -> Receipt:
        return Receipt(task, body_digest(self.market.domain, self.body(task, WORKER)), len(TOKENS))

    def posted(self) -> bytes:
        """A task alone in its batch."""
        task = self.ask()
        self.send(WORKER, self.market.claim_many([task]))
        self.send(WORKER, self.market.post_batch([self.receipt(task)]))
        return task

    def salt(self, index: int, task: bytes) -> bytes:
        return replica_salt(bytes(dev_account(index).key), task)

    def seated(self) -> bytes:
        """A task of three, every seat leased."""
        task = self.ask(replicas=3, equivalence=CLASS)
        for index in REPLICAS:
            self.send(index, self.market.claim_many([task]))
        return task

    def commit(self, index: int, task: bytes, name: str = "") -> None:
        digest = body_digest(self.market.domain, self.body(task, index))
        self.send(
            index, self.market.commit(task, commitment(digest, len(TOKENS), self.salt(index, task))), name
        )

    def reveal(self, index: int, task: bytes, name: str = "") -> None:
        shown = self.market.reveal(self.body(task, index), len(TOKENS), self.salt(index, task))
        self.send(STRANGER, shown, name)


def money(stage: Stage) -> None:
    """In and out, in ether and in a token."""
    market, rpc, asker = stage.market, stage.rpc, dev_account(ASKER)
    stage.send(ASKER, market.deposit(asker.address, 1_000), "deposit")
    stage.send(ASKER, market.withdraw(1_000, asker.address), "withdraw")

    token = Token(rpc, Creator(rpc, asker, rpc.chain_id(), 60).create(coin(), ["address"], [asker.address]))
    members = tuple(stage.address(index) for index in PANEL_ACCOUNTS)
    terms = replace(PRESETS["devnet"], token=token.address)
    priced = Market(rpc, deploy(rpc, dev_account(0), terms, PanelTerms(members, 2, 20, 20)))
    stage.send(ASKER, token.approve(priced.deployment.market, 10**9))
    stage.send(ASKER, priced.deposit(asker.address, 1_000))
    stage.send(ASKER, priced.deposit(asker.address, 1_000), "depositToken")
    until = rpc.latest().timestamp + 600
    domain, nonce = token.domain_separator(), token.nonce(asker.address)
    digest = permit_digest(domain, asker.address, priced.deployment.market, 1_000, nonce, until)
    signed = asker.unsafe_sign_hash(Hash32(digest))
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    permitted = priced.deposit_with_permit(asker.address, 1_000, until, signed.v, r, s)
    stage.send(ASKER, permitted, "depositWithPermit")


def asking(stage: Stage) -> None:
    market, asker = stage.market, dev_account(ASKER)

    def signed(digest: bytes) -> bytes:
        return bytes(asker.unsafe_sign_hash(Hash32(digest)).signature)

    stage.send(ASKER, market.submit(stage.request()), "submit")
    stage.send(ASKER, market.submit_many([stage.request() for _ in range(ASKED)]), "submitMany", ASKED)
    one, *many = (stage.request() for _ in range(1 + ASKED))
    stage.send(STRANGER, market.submit_by_sig(one, signed(stage.id(one))), "submitBySig")
    by_sig = market.submit_many_by_sig(many, [signed(stage.id(each)) for each in many])
    stage.send(STRANGER, by_sig, "submitManyBySig", ASKED)
    stage.send(ASKER, market.revoke(stage.request()), "revoke")
    stage.wait(1)  # else the age restarts where it is, and a slot is written for less
    stage.send(ASKER, market.raise_tip(stage.id(one), 60_000), "raiseTip")
    stage.send(ASKER, market.cancel(stage.id(one)), "cancel")
    taken_back = stage.id(many[0])
    cancelled = market.cancel_by_sig(taken_back, signed(cancel_digest(market.domain, taken_back)))
    stage.send(STRANGER, cancelled, "cancelBySig")


def working(stage: Stage) -> None:
    market = stage.market
    requests = [stage.request() for _ in range(MANY)]
    stage.send(ASKER, market.submit_many(requests))
    ids = [stage.id(request) for request in requests]
    stage.send(WORKER, market.claim_many(ids), "claimMany", MANY)
    stage.send(WORKER, market.post_batch([stage.receipt(task) for task in ids]), "postBatch", MANY)
    stage.wait(stage.parameters.window_secs + 1)
    stage.send(STRANGER, market.settle_many(ids), "settleMany", MANY)
    leased, late = stage.ask(), stage.ask()
    stage.send(WORKER, market.claim_many([leased]))
    stage.send(WORKER, market.release(leased), "release")
    stage.wait(4_000)
    stage.send(STRANGER, market.expire(late), "expire")


def replicas(stage: Stage) -> None:
    market = stage.market
    task = stage.seated()
    for place, index in enumerate(REPLICAS):
        stage.commit(index, task, "commit" if place == 1 else "")
    for place, index in enumerate(REPLICAS):
        stage.reveal(index, task, "reveal" if place == 1 else "")
    stage.send(STRANGER, market.close_round(task), "closeRound")
    late = stage.seated()
    for index in REPLICAS[:2]:
        stage.commit(index, late)
    stage.wait(4_000)
    stage.send(STRANGER, market.open_reveal(late), "openReveal")


def doubting(stage: Stage) -> None:
    market = stage.market
    task = stage.posted()
    stage.send(DOUBTER, market.demand(task, 0), "demand")
    for index in (1, 2):
        stage.send(DOUBTER, market.demand(task, index))
    shown = make_answer(stage.body(task, WORKER), TOKENS, 0, [leaf(stage.receipt(task))])
    stage.send(STRANGER, market.answer(task, 0, shown), "answer")
    stage.wait(stage.parameters.answer_time_secs + 1)
    stage.send(STRANGER, market.lapse_demand(task, 1), "lapseDemand")
    stage.send(STRANGER, market.close_demand(task, 2), "closeDemand")

    disputed = stage.posted()
    stage.send(DOUBTER, market.challenge(disputed), "challenge")
    panel = stage.panel.address
    stage.rpc.call("hardhat_impersonateAccount", panel)
    stage.rpc.call("hardhat_setBalance", panel, hex(10**18))
    data = "0x" + market.rule(disputed, faulty=True).data.hex()
    order = {"from": panel, "to": market.deployment.market, "data": data}
    receipt = stage.rpc.call("eth_getTransactionReceipt", stage.rpc.call("eth_sendTransaction", order))
    assert isinstance(receipt, dict)
    assert int(str(receipt["status"]), 16) == 1
    stage.gas["rule"] = int(str(receipt["gasUsed"]), 16)
    silent = stage.posted()
    stage.send(DOUBTER, market.challenge(silent))
    stage.wait(stage.parameters.arbiter_timeout_secs + 1)
    stage.send(STRANGER, market.timeout(silent), "timeout")


def hearing(stage: Stage) -> None:
    """The panel's calls, told apart from the market's by its name."""
    market, panel = stage.market, stage.panel
    task = stage.posted()
    stage.send(DOUBTER, market.challenge(task))
    stage.send(STRANGER, panel.open(task), "PanelArbiter.open")
    salts = {
        i: vote_salt(bytes(dev_account(i).key), panel.address, market.deployment.market, task)
        for i in PANEL_ACCOUNTS
    }
    for place, index in enumerate(PANEL_ACCOUNTS):
        digest = vote_digest(
            market.deployment.chain_id,
            panel.address,
            market.deployment.market,
            task,
            member=stage.address(index),
            faulty=True,
            salt=salts[index],
        )
        stage.send(index, panel.commit_vote(task, digest), "PanelArbiter.commitVote" if place == 1 else "")
    for index in PANEL_ACCOUNTS[:2]:
        shown = panel.reveal_vote(task, faulty=True, salt=salts[index])
        stage.send(index, shown, "PanelArbiter.revealVote")
    stage.send(STRANGER, panel.rule(task), "PanelArbiter.rule")
    member = PANEL_ACCOUNTS[0]
    stage.send(member, panel.collect(stage.address(member)), "PanelArbiter.collect")


def telling(stage: Stage) -> None:
    """The registry's events, and an inversion."""
    market = stage.market
    stage.send(STRANGER, market.announce(b"\xa1" * 32, "models/" + "a1" * 32), "ModelRegistry.announce")
    stage.send(WORKER, market.announce_store("https://store.example/quern"), "ModelRegistry.announceStore")
    poorer, better = stage.request(tip_units=1), stage.request(tip_units=99_999)
    stage.send(ASKER, market.submit_many([poorer, better]))
    stage.wait(stage.parameters.inversion_grace_secs + 2)
    stage.send(WORKER, market.claim_many([stage.id(poorer)]))
    stage.send(STRANGER, market.record_skip(poorer, better, stage.address(WORKER)), "MarketLens.recordSkip")


def measure(deployment: Deployment) -> dict[str, int]:
    """Gas by call; calls of other contracts than the market have its name before theirs."""
    stage = Stage(deployment)
    for act in (money, asking, working, replicas, doubting, hearing, telling):
        act(stage)
    return stage.gas
