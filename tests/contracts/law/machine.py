"""Drives a market at random: what every rule needs, and the rules about money and time."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.digest import keccak
from protocol.request import Request
from tests.contracts.law.book import Refused, State, Task
from tests.contracts.law.evm import Outcome, skipped
from tests.contracts.law.forms import Work
from tests.contracts.law.liveness import drive_to_the_end
from tests.contracts.law.world import TOKEN_MODES, WALLET_MODES, Mark, World

ACTOR = st.integers(0, 10)
SEED = st.integers(0, 2**20)
# Now and then somebody whose call it is not.
OTHER = st.sampled_from((False, False, False, True))
PICK = st.integers(0, 2**12)
# Late tasks matter less than fresh ones, and a view of each after every step would take all the time.
RECENT = 14
WHOLE_CHECK_EVERY = 16
# As the interface numbers them.
SKIP_REASONS = (
    "None",
    "WrongState",
    "NotRequester",
    "BadSignature",
    "BadReplicas",
    "NoEquivalence",
    "NoOutputTokens",
    "FlatPercentTooHigh",
    "NoBond",
    "LeaseTooShort",
    "DeadlineTooSoon",
    "DeadlineTooFar",
    "InsufficientFree",
    "LeaseRunning",
    "AlreadySeated",
    "Replicated",
    "NotWorker",
    "DeadlinePassed",
    "TooManyTokens",
    "WindowOpen",
    "DemandsOpen",
)


def _never() -> None:
    raise Refused(["ReentrancyGuardReentrantCall"])


class MarketMachine(RuleBasedStateMachine):
    """A market of one currency with eleven actors; each subclass names the currency and shares a tally."""

    currency: ClassVar[str] = "ether"
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.currency, self.tally)
        self.book = self.world.book
        self.requests: dict[bytes, Request] = {}
        self.works: dict[bytes, dict[str, Work]] = {}
        self.paths: dict[bytes, tuple[bytes, ...]] = {}
        self._steps = 0
        self._checked = -1

    def actor(self, number: int) -> str:
        return self.world.actors[number % len(self.world.actors)]

    def pick(self, pick: int, *states: State, replicated: bool | None = None) -> bytes:
        """Mostly a recent task in one of these states; now and then any task, or one nobody knows."""
        recent = list(self.requests)[-RECENT:]
        if pick % 9 == 8:
            recent.append(keccak(b"unknown"))
        else:
            wanted = [i for i in recent if self._fits(self.book.task(i), states, replicated)]
            recent = wanted or recent or [keccak(b"unknown")]
        return recent[pick // 9 % len(recent)]

    def picks(self, seed: int, *states: State, replicated: bool | None = None) -> list[bytes]:
        """One to four of them, some of them twice."""
        count = 1 + seed % 4
        return [
            self.pick(seed // 7 + 9973 * place * (seed % 5), *states, replicated=replicated)
            for place in range(count)
        ]

    def compare_skips(
        self, outcome: Outcome, expected: Iterable[tuple[bytes, frozenset[str]]] | None
    ) -> None:
        """A call on many left out the items that the law leaves out, for a reason that holds."""
        found = skipped(outcome, self.world.abi)
        wanted = list(expected or ())
        assert [task_id for task_id, _ in found] == [task_id for task_id, _ in wanted], "skipped items"
        for (_, reason), (_, reasons) in zip(found, wanted, strict=True):
            assert SKIP_REASONS[reason] in reasons, (
                f"skipped for {SKIP_REASONS[reason]}, the law says {reasons}"
            )
            self.tally[f"skip {SKIP_REASONS[reason]}"] += 1

    # ------------------------------------------------------------------------------------------------- rules

    @rule(who=ACTOR, to=ACTOR, amount=st.integers(0, 40_000), odd=st.integers(0, 9))
    def deposit(self, who: int, to: int, amount: int, odd: int) -> None:
        beneficiary = "0x" + "0" * 40 if odd == 1 else self.actor(to)
        self.world.deposit(self.actor(who), beneficiary, amount, dust=1 if odd == 2 else 0)

    @rule(who=ACTOR, amount=st.integers(0, 9000), is_used=st.booleans())
    def deposit_with_permit(self, who: int, amount: int, is_used: bool) -> None:
        world, caller = self.world, self.actor(who)
        why = (
            []
            if world.token is None
            else world.why_token_fails(world.market, amount * world.law.unit, is_deposit=True)
        )
        arguments = (caller, amount, 2**40, 28 if is_used else 27, bytes(32), bytes(32))
        world.do("depositWithPermit", caller, arguments, lambda: self.book.deposit_token(caller, amount, why))
        if world.token is not None:
            world.mint(caller)  # the permit has set the allowance to that one amount

    @rule(who=ACTOR, to=st.integers(0, 13), share=st.integers(0, 11))
    def withdraw(self, who: int, to: int, share: int) -> None:
        world, caller = self.world, self.actor(who)
        free = self.book.account(caller).free
        amount = free + 1 if share == 11 else free * share // 10
        target = {11: "0x" + "0" * 40, 12: world.market}.get(to, self.actor(to))
        raw = amount * world.law.unit
        given = 0
        if world.token is not None:
            why = world.why_token_fails(target, raw, is_deposit=False)
            # Only a token that gives more than it is asked for leaves the market with what nobody withdrew.
            given = raw + world.market_growth(target, raw, is_deposit=False)
        else:
            refuses = target in world.coded and self.mode_of(target) == "Refusing"
            why = ["WithdrawalFailed"] if refuses or target == world.market else []
        world.forced += 0 if why or amount > free or int(target, 16) == 0 else given
        world.do(
            "withdraw", caller, (amount, target), lambda: self.book.withdraw(caller, amount, target, why)
        )

    @rule(secs=st.integers(0, 20))
    def time_passes(self, secs: int) -> None:
        self.world.machine.travel(secs)

    @rule(pick=PICK, offset=st.integers(-1, 1))
    def time_comes(self, pick: int, offset: int) -> None:
        """To the very second at which something ends, or the one before or after."""
        now = self.world.machine.now
        limits = sorted(
            {limit for i in list(self.requests)[-RECENT:] for limit in self._limits(self.book.task(i))}
        )
        ahead = [limit for limit in limits if limit + offset > now]
        if ahead:
            self.world.machine.travel(ahead[pick % min(3, len(ahead))] + offset - now)

    @rule(mode=st.integers(0, 7), seed=SEED)
    def token_becomes(self, mode: int, seed: int) -> None:
        if self.world.token is not None:
            self.world.tell(self.world.token, self.world.token_abi.data("become", mode % len(TOKEN_MODES)))
            self._plan(self.world.token, seed)

    @rule(number=st.integers(0, 1), mode=st.integers(0, 5), seed=SEED)
    def wallet_becomes(self, number: int, mode: int, seed: int) -> None:
        wallet = (self.world.wallet, self.world.delegated)[number]
        self.world.tell(wallet, self.world.wallet_abi.data("become", mode % len(WALLET_MODES)))
        self._plan(wallet, seed)

    @rule(amount=st.integers(1, 10**10))
    def money_is_forced_in(self, amount: int) -> None:
        world = self.world
        if world.token is None:
            world.forget_mark()
            world.machine.fund(world.market, world.machine.balance(world.market) + amount)
        else:
            world.tell(world.token, world.token_abi.data("mint", world.market, amount))
        world.forced += amount

    # ------------------------------------------------------------------------------------------------- reorg

    def mark_block(self) -> None:
        self.world.mark_block()

    def go_back(self, mark: Mark) -> None:
        self.world.go_back(mark)

    # ------------------------------------------------------------------------------------------------ checks

    @invariant()
    def holds(self) -> None:
        self._steps += 1
        self.world.check_accounts()
        self.world.check_changed()
        if self._steps % WHOLE_CHECK_EVERY == 0:
            self.world.check_everything()
        self._checked = self.world.calls

    def teardown(self) -> None:
        """I6: whatever was reached, a stranger alone brings it to an end. Not after a rule that failed."""
        if self._checked == self.world.calls:
            self.world.check_everything()
            drive_to_the_end(self.world)
            self.world.check_everything()

    def mode_of(self, wallet: str) -> str:
        return WALLET_MODES[self.world.flag(wallet, self.world.wallet_abi, "mode")]

    def _plan(self, whom: str, seed: int) -> None:
        """What the contract will try as soon as the market calls it; money may move once at a time only."""
        ids = list(self.requests)[-3:]
        one = self.pick(seed, State.OPEN, State.LEASED)
        plans: tuple[tuple[str, tuple[object, ...], Callable[[], object]], ...] = (
            ("withdraw", (1, whom), _never),
            ("depositToken", (whom, 1), _never),
            ("depositWithPermit", (whom, 1, 2**40, 27, bytes(32), bytes(32)), _never),
            ("claimMany", (ids,), lambda: self.book.claim_many(whom, ids)),
            ("settleMany", (ids,), lambda: self.book.settle_many(ids)),
            ("expire", (one,), lambda: self.book.expire(one)),
            ("cancel", (one,), lambda: self.book.cancel(one, self.why_not_requester(one, whom))),
        )
        name, arguments, law = plans[seed % len(plans)]
        self.world.plan(whom, name, arguments, law)
        self.world.touch(one, *ids)

    def why_not_requester(self, task_id: bytes, caller: str) -> list[str]:
        task = self.book.task(task_id)
        return ["NotRequester"] if task is None or caller != task.terms.requester else []

    def _fits(self, task: Task | None, states: tuple[State, ...], replicated: bool | None) -> bool:
        if task is None or task.state not in states:
            return False
        return replicated is None or task.replicated == replicated

    def _limits(self, task: Task | None) -> set[int]:
        if task is None:
            return set()
        seats = {seat.until for seat in task.seats}
        demands = {until for _, until in task.demands.values()}
        return {task.terms.deadline, task.until, task.window_end, *seats, *demands}
