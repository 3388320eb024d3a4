"""One market with its actors and its model: every call goes to both, and both must say the same."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TypeVar

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from pyrevm import AccountInfo, JournalCheckpoint

from protocol.abi import uint_word
from protocol.domain import Domain, separator
from tests.contracts.law import evm
from tests.contracts.law.book import ENDED, Law, Refused, SeatState, State, Task
from tests.contracts.law.disputes import Market
from tests.contracts.law.evm import Machine, Outcome

KEYED = 8
ETHER = 10**18
FUNDS_UNITS = 30_000
CHAIN_ID = 1
# As Hostile.sol numbers them.
TOKEN_MODES = ("Honest", "TakesFee", "ReturnsNothing", "Reenters", "SaysNo", "Lies", "Reverts", "GivesMore")
WALLET_MODES = ("Honest", "Greedy", "Garbage", "Reverts", "Endless", "Refusing")
# Calls after which nobody may have more than before: what they take away is burned.
BURNING = frozenset(
    {
        "cancel",
        "cancelBySig",
        "claimMany",
        "release",
        "expire",
        "commit",
        "openReveal",
        "lapseDemand",
        "closeDemand",
    }
)
CALLING_OUT = frozenset({"withdraw", "depositToken", "depositWithPermit"})
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """A call as it went out, to send it again on another history."""

    name: str
    caller: str
    arguments: tuple[object, ...]
    law: Callable[[], object]
    value: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A block to go back to, and what was sent since."""

    checkpoint: JournalCheckpoint
    now: int
    book: Market
    forced: int
    frozen: dict[bytes, bytes]
    sent: list[Sent] = field(default_factory=list)


class World:
    """`currency`: "ether", or the decimals of a token. `tally` counts calls by name and outcome."""

    def __init__(self, currency: str, tally: Counter[str]) -> None:
        self.tally = tally
        self.machine = Machine()
        self.abi = evm.market_abi()
        self.keys = [number.to_bytes(32, "big") for number in range(1, KEYED + 2)]
        hostile = evm.hostile()
        self.wallet_abi, self.token_abi = hostile["Wallet"][2], hostile["Token"][2]
        deployer = _address(0xD0)
        plain = [_address_of(key) for key in self.keys]
        self.delegated = plain[KEYED]
        self.machine.evm.insert_account_info(self.delegated, AccountInfo(nonce=0, code=hostile["Wallet"][1]))
        self.wallet = to_checksum_address(self.machine.deploy(deployer, hostile["Wallet"][0], [], []))
        self.arbiter, self.stranger, self.operator = _address(0xA4), _address(0x57), _address(0x0E)
        # The first eight have keys and no code, the ninth both, the tenth only code; the arbiter is one of them all.
        self.actors = [*plain, self.wallet, self.arbiter]
        self.coded = {self.wallet, self.delegated}
        self.token = self._deploy_token(deployer, currency)
        unit = 10**9 if currency in ("ether", "18") else 1
        self.law = Law(20, 10, 40, 5, 1000, 1001, 2503, 101, self.arbiter, unit, self.token is None)
        self.market = self._deploy_market(deployer)
        self.domain = Domain(CHAIN_ID, self.market)
        assert separator(self.domain) == self.machine.view(self.market, self.abi.question("domainSeparator"))
        self.book = Market(self.law)
        self.forced = 0
        self.calls = 0
        self.plans: dict[str, Callable[[], object]] = {}
        self.changed: set[bytes] = set()
        self.frozen: dict[bytes, bytes] = {}
        self.mark: Mark | None = None
        self._fund()

    # ------------------------------------------------------------------------------------------------- calls

    def do(
        self, name: str, caller: str, arguments: tuple[object, ...], law: Callable[[], T], value: int = 0
    ) -> tuple[Outcome, T | None]:
        """Sends the call, asks the model, and fails where they differ."""
        self.calls += 1
        if self.mark is not None:
            self.mark.sent.append(Sent(name, caller, arguments, law, value))
        self.book.now = self.machine.now
        before = self.book.wealth() if name in BURNING else {}
        reasons: frozenset[str] = frozenset()
        expected: T | None = None
        try:
            expected = law()
        except Refused as refusal:
            reasons = refusal.reasons
        calls_back = {whom: self._calls_back(whom) for whom in self.plans} if name in CALLING_OUT else {}
        outcome = self.send(caller, self.market, self.abi.data(name, *arguments), value)
        self.tally[f"{name} {'refused' if reasons else 'done'}"] += 1
        if reasons:
            self.tally[f"refusal {outcome.error}"] += 1
            assert outcome.error in reasons, f"{name}: {outcome.error} where the law says {sorted(reasons)}"
        else:
            assert outcome.error is None, f"{name}: {outcome.error} where the law allows it"
            for _, topics, _ in outcome.logs:
                self.tally[self.abi.events[topics[0]][0]] += 1
        for whom, known in calls_back.items():
            self._follow(whom, known)
        after = self.book.wealth() if before else {}
        richer = {who for who, amount in after.items() if amount > before.get(who, 0)}
        assert not richer, f"I13: {name} made {richer} richer"
        self.check_money()
        return outcome, expected

    def send(self, caller: str, to: str, data: bytes, value: int = 0) -> Outcome:
        """An account with code acts through it."""
        if caller in self.coded:
            act = self.wallet_abi.data("act", to, data)
            outcome = self.machine.call(self.operator, caller, act, value, self.abi)
            if outcome.error is not None:
                return outcome
            result = self.machine.evm.result
            logs = result.logs if result is not None else []
            return Outcome(None, outcome.answer, evm.logs_of(logs, to))
        return self.machine.call(caller, to, data, value, self.abi)

    def plan(self, whom: str, name: str, arguments: tuple[object, ...], law: Callable[[], object]) -> None:
        """What a hostile contract calls as soon as the market calls it; `law` is the model's side of it."""
        self.plans[whom] = law
        self.tell(whom, self.token_abi.data("prime", self.market, self.abi.data(name, *arguments)))

    def touch(self, *task_ids: bytes) -> None:
        """Tasks to compare with the model after this step."""
        self.changed.update(task_ids)

    def mark_block(self) -> None:
        """From here on calls are noted, so that the chain can come back here."""
        checkpoint = self.machine.evm.snapshot()
        self.mark = Mark(checkpoint, self.machine.now, deepcopy(self.book), self.forced, dict(self.frozen))

    def go_back(self, mark: Mark) -> None:
        """To the marked block: neither the chain nor the model knows what came after it."""
        self.mark = None
        self.machine.evm.revert(mark.checkpoint)
        self.machine.travel(mark.now - self.machine.now)
        vars(self.book).update(vars(mark.book))
        self.forced, self.frozen = mark.forced, mark.frozen

    def forget_mark(self) -> None:
        """What hostile contracts do next is not noted: no history from before is sent again after it."""
        self.mark = None

    # ------------------------------------------------------------------------------------------------ checks

    def held(self) -> int:
        """The market's balance in wei or the token's smallest parts."""
        if self.token is None:
            return self.machine.balance(self.market)
        return int.from_bytes(
            self.machine.view(self.token, self.token_abi.question("balanceOf", self.market)), "big"
        )

    def check_money(self) -> None:
        """I1, I4 and the burned sum; cheap enough for every call."""
        assert self.held() == self.book.held() * self.law.unit + self.forced, (
            "I1: the balance is accounted for"
        )
        burned = self.machine.view(self.market, self.abi.question("burned"))
        assert int.from_bytes(burned, "big") == self.book.burned, "burned"

    def check_accounts(self) -> None:
        bonds = self.book.bonds()
        for who, account in self.book.accounts.items():
            stored = self.machine.view(self.market, self.abi.question("account", who))
            words = uint_word(account.free) + uint_word(account.locked) + uint_word(account.index)
            assert stored == words, f"account {who}: {stored.hex()} where the law says {account}"
            assert account.locked == bonds.get(who, 0), f"I4: locked of {who}"

    def check_changed(self) -> None:
        for task_id in self.changed:
            self.check_task(task_id)
        self.changed.clear()

    def check_everything(self) -> None:
        """All tasks and batches, also those that no call was about (I5, I14)."""
        self.check_accounts()
        for task_id in (*self.book.tasks, *self.book.revoked):
            self.check_task(task_id)
        for root, (worker, time) in self.book.batches.items():
            stored = self.machine.view(self.market, self.abi.question("batch", root))
            assert stored == encode(["address", "uint32"], [worker, time]), "I5: a posted root stays"

    def check_task(self, task_id: bytes) -> None:
        stored = self.machine.view(self.market, self.abi.question("taskOf", task_id))
        state, task = self.book.state(task_id), self.book.task(task_id)
        assert stored[:32] == uint_word(state), f"state {stored[:32].hex()} where the law says {state!r}"
        if state in ENDED:
            whole = stored + self.machine.view(self.market, self.abi.question("roundOf", task_id))
            assert self.frozen.setdefault(task_id, whole) == whole, "I14: an ended task stays"
        if task is None:
            return
        assert stored == _task_words(task), f"task {_words(stored)} where the law says {task}"
        if task.replicated and task.state not in ENDED:
            self._check_round(task_id, task)
        for leaf in task.demanded:
            waiting = task.demands.get(leaf, ("", 0))[1]
            demand = self.machine.view(self.market, self.abi.question("demandOf", task_id, leaf))
            assert int.from_bytes(demand[32:], "big") == waiting, "demand"
        if task.state == State.DISPUTED:
            dispute = self.machine.view(self.market, self.abi.question("disputeOf", task_id))
            assert dispute == encode(["address", "uint32"], [task.challenger, task.window_end]), "dispute"

    def _check_round(self, task_id: bytes, task: Task) -> None:
        winners = sum(seat.state == SeatState.WON for seat in task.seats)
        counts = (
            b"".join(uint_word(count) for count in (task.committed, task.revealed, winners)) + task.verdict
        )
        stored = self.machine.view(self.market, self.abi.question("roundOf", task_id))
        assert stored == counts, f"round {_words(stored)} where the law says {task}"
        for place, seat in enumerate(task.seats):
            numbers = (seat.state, int(seat.worker, 16), seat.until, seat.tokens)
            expected = b"".join(uint_word(number) for number in numbers) + seat.digest
            stored = self.machine.view(self.market, self.abi.question("seatOf", task_id, place))
            assert stored == expected, f"seat {place}: {_words(stored)} where the law says {seat}"
        live = [seat.worker for seat in task.seats if seat.state not in (SeatState.EMPTY, SeatState.BURNED)]
        assert len(live) == len(set(live)), "I8: one worker, one seat"

    def _calls_back(self, whom: str) -> tuple[int, int]:
        """(calls tried, calls let through) of a hostile contract."""
        return self.flag(whom, self.token_abi, "tried"), self.flag(whom, self.token_abi, "entered")

    def _follow(self, whom: str, known: tuple[int, int]) -> None:
        """Where the contract called back, the model does the same, and must agree on whether it may."""
        tried, entered = self._calls_back(whom)
        if tried == known[0]:
            return
        try:
            self.plans[whom]()
            is_allowed = True
        except Refused:
            is_allowed = False
        self.tally[f"call back {'done' if is_allowed else 'refused'}"] += 1
        assert (entered > known[1]) == is_allowed, (
            f"a call back was {'refused' if is_allowed else 'let through'}"
        )

    # ------------------------------------------------------------------------------------------------ set-up

    def _fund(self) -> None:
        self.machine.fund(self.operator, 10**9 * ETHER)
        for who in (*self.actors, self.stranger):
            self.machine.fund(who, 10**9 * ETHER)
            if self.token is not None:
                self.mint(who)
        for who in self.actors:
            self.deposit(who, who, FUNDS_UNITS)

    def deposit(self, caller: str, beneficiary: str, amount: int, dust: int = 0) -> None:
        """`amount` UNITs in the market's currency, and `dust` wei more, which makes it no deposit."""
        if self.token is None:
            value = amount * self.law.unit + dust
            self.do("deposit", caller, (beneficiary,), lambda: self.book.deposit(beneficiary, value), value)
        else:
            why = self.why_token_fails(self.market, amount * self.law.unit, is_deposit=True)
            self.do(
                "depositToken",
                caller,
                (beneficiary, amount),
                lambda: self.book.deposit_token(beneficiary, amount, why),
            )

    def why_token_fails(self, to: str, amount: int, *, is_deposit: bool) -> list[str]:
        """What the market says of a move of its token, after how the token behaves at the moment."""
        assert self.token is not None
        mode = TOKEN_MODES[self.flag(self.token, self.token_abi, "mode")]
        if mode in ("Reverts", "SaysNo"):
            return ["TransferFromFailed"] if is_deposit else ["TransferFailed"]
        grown = self.market_growth(to, amount, is_deposit=is_deposit)
        changed = max(0, grown if is_deposit else -grown)
        return [] if changed == amount else ["TokenMisbehaved"]

    def market_growth(self, to: str, amount: int, *, is_deposit: bool) -> int:
        """What a move of so much of the token adds to the market's balance of it, as the token behaves now."""
        assert self.token is not None
        mode = TOKEN_MODES[self.flag(self.token, self.token_abi, "mode")]
        moved = 0 if mode == "Lies" else amount
        arrives = moved - (mode == "TakesFee" and amount > 0) + (mode == "GivesMore")
        return (arrives if to == self.market else 0) - (0 if is_deposit else moved)

    def mint(self, who: str) -> None:
        assert self.token is not None
        self._told(self.token, self.token_abi.data("mint", who, 10**30))
        self.send(who, self.token, self.token_abi.data("approve", self.market, 10**30))

    def tell(self, whom: str, data: bytes) -> None:
        """An order to a hostile contract."""
        self._told(whom, data)

    def flag(self, whom: str, abi: evm.Abi, name: str) -> int:
        return int.from_bytes(self.machine.view(whom, abi.question(name)), "big")

    def _told(self, whom: str, data: bytes) -> None:
        self.forget_mark()
        outcome = self.machine.call(self.operator, whom, data, 0, self.token_abi)
        assert outcome.error is None, outcome.error

    def _deploy_token(self, deployer: str, currency: str) -> str | None:
        if currency == "ether":
            return None
        code = evm.hostile()["Token"][0]
        return to_checksum_address(self.machine.deploy(deployer, code, ["uint8"], [int(currency)]))

    def _deploy_market(self, deployer: str) -> str:
        law = self.law
        numbers = (law.window, law.answer_time, law.arbiter_timeout, law.min_lease, law.max_life, 5)
        amounts = (law.bond_unit, law.challenge_bond, law.demand_fee, 10**9)
        types = f"({','.join(['uint32'] * 6 + ['uint64'] * 4)},address,address)"
        parameters = (*numbers, *amounts, law.arbiter, self.token or "0x" + "0" * 40)
        return to_checksum_address(
            self.machine.deploy(deployer, evm.market_bytecode(), [types], [parameters])
        )


def _words(data: bytes) -> list[str]:
    return [data[i : i + 32].hex().lstrip("0") or "0" for i in range(0, len(data), 32)]


def _task_words(task: Task) -> bytes:
    is_open = task.state in (State.OPEN, State.LEASED)
    terms = task.terms
    return b"".join(
        uint_word(value)
        for value in (
            task.state,
            terms.replicas,
            task.taken(),
            int(task.worker, 16),
            task.until,
            terms.deadline,
            terms.lease_secs,
            terms.bond_units,
            terms.flat_percent,
            task.priced_at if is_open else 0,
            len(task.demands) if task.state in (State.POSTED, State.DISPUTED) else 0,
            terms.max_output_tokens,
            task.tokens,
            int(terms.requester, 16),
            terms.max_fee,
            task.tip,
        )
    )


def _address(number: int) -> str:
    return to_checksum_address(number.to_bytes(20, "big"))


def _address_of(key: bytes) -> str:
    from coincurve import PublicKey

    from protocol.digest import keccak

    return to_checksum_address(keccak(PublicKey.from_secret(key).format(compressed=False)[1:])[12:])
