"""What to do next: a pure function of chain view, local artefacts, clock and policy. At most one action per task."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from protocol.digest import ZERO_DIGEST
from protocol.domain import UNIT_WEI
from protocol.money import charge_units
from worker.artefacts import NOTHING_YET, Artefact, Input, InputFacts, Stage, lies_outside
from worker.codes import Reason
from worker.view import Task


class Act(Enum):
    """Everything `decide` may ask for."""

    FETCH = "fetch"
    DECLINE = "decline"
    CLAIM = "claim"
    RUN = "run"
    PERSIST = "persist"
    POST = "post"
    SETTLE = "settle"
    RELEASE = "release"
    WITHDRAW = "withdraw"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do; `task_id` is empty for `WITHDRAW`, which carries `amount_units`."""

    act: Act
    task_id: bytes
    reason: Reason | None = None
    amount_units: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """`chain_secs` is the timestamp the next block will at least have, `wall_secs` this machine's time."""

    chain_secs: int
    wall_secs: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Upper bounds of what a token costs in a busy engine, from the meta-model's prediction for a whole batch."""

    prefill_secs_per_token: float = 0.0
    decode_secs_per_token: float = 0.0

    def queue_secs(self, facts: InputFacts) -> float:
        """How much later everything behind this task gets its turn."""
        return (
            facts.prompt_tokens * self.prefill_secs_per_token
            + facts.max_output_tokens * self.decode_secs_per_token
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What operator and market allow, and what the moment costs. Amounts in units, `base_fee_wei` per gas."""

    models: frozenset[bytes]
    bond_unit_units: int
    max_bond_units: int
    max_output_tokens: int
    units_per_engine_sec: float
    low_output_share: float
    gas_per_task: int
    base_fee_wei: int
    lease_margin: float
    spare_secs: int
    batch_tasks: int
    batch_prompts: int
    batch_secs: float
    fetch_ahead: int
    attempts: int
    withdraw_above_units: int = 0
    draining: bool = False
    may_claim: bool = True
    patience_secs: float = 1.0
    rates: Rates = field(default_factory=Rates)


class ChainView(Protocol):
    """What `decide` reads of the chain."""

    @property
    def free_units(self) -> int:
        """The operator's balance that is neither bonded nor withdrawn."""

    @property
    def locked_units(self) -> int:
        """The operator's bonds."""

    def held(self) -> Iterable[Task]:
        """Tasks this worker has leased."""

    def posted(self) -> Iterable[Task]:
        """Tasks this worker has posted and nobody settled, by the end of their challenge window."""

    def claimable(self) -> Iterable[Task]:
        """Open tasks, and tasks whose lease lapsed, best priority first."""


def decide(
    view: ChainView, artefacts: Mapping[bytes, Artefact], clock: Clock, policy: Policy
) -> tuple[Action, ...]:
    """All actions that are due now, those for money at stake first."""
    actions: list[Action] = []
    ahead = Ahead()
    for task in view.held():
        artefact = artefacts.get(task.id, NOTHING_YET)
        ahead.add(artefact, policy)
        action = _for_held(task, artefact, clock, policy)
        if action is not None:
            actions.append(action)
    for task in view.posted():
        if clock.chain_secs <= task.until:
            break
        artefact = artefacts.get(task.id, NOTHING_YET)
        if artefact.under_way is None and clock.wall_secs >= artefact.retry_at:
            actions.append(Action(Act.SETTLE, task.id, Reason("SETTLE-001", "the challenge window is over")))
    if not policy.draining:
        actions += _for_claimable(view, artefacts, clock, policy, ahead)
    surplus = view.free_units - policy.withdraw_above_units
    if policy.withdraw_above_units and surplus > policy.withdraw_above_units // 10:
        actions.append(
            Action(Act.WITHDRAW, b"", Reason("WITHDRAW-001", f"{surplus} units above the limit"), surplus)
        )
    return tuple(actions)


@dataclass(slots=True)
class Ahead:
    """What is claimed: `waiting` tasks are not in the engine yet; `secs` are those of all unfinished work."""

    waiting: int = 0
    secs: float = 0.0

    def add(self, artefact: Artefact, policy: Policy) -> None:
        if artefact.hopeless:
            return
        if artefact.stage in {Stage.IDLE, Stage.QUEUED}:
            self.waiting += 1
        if artefact.stage in {Stage.IDLE, Stage.QUEUED, Stage.RUNNING} and artefact.facts is not None:
            self.secs += policy.rates.queue_secs(artefact.facts)


def _for_held(task: Task, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """The next step of a task this worker has leased."""
    if artefact.under_way is not None or clock.wall_secs < artefact.retry_at:
        return None
    lapsed = clock.chain_secs > task.until
    if artefact.given_up:
        return _alert_once(task, artefact, Reason("LOST-001", "the market does not take its result"))
    if artefact.stage is Stage.SAVED:
        if clock.chain_secs <= task.request.deadline:
            return Action(Act.POST, task.id, Reason("POST-001", "result saved"))
        return _alert_once(
            task, artefact, Reason("LOST-001", "the deadline passed before the result was posted")
        )
    if artefact.stage is Stage.GENERATED:
        return Action(Act.PERSIST, task.id)
    if artefact.stage in {Stage.QUEUED, Stage.RUNNING, Stage.STORING}:
        if lapsed:
            return _alert_once(
                task, artefact, Reason("LOST-001", "the lease lapsed before the work was done")
            )
        return None
    return _for_unstarted(task, artefact, clock, policy, lapsed=lapsed)


def _for_unstarted(
    task: Task, artefact: Artefact, clock: Clock, policy: Policy, *, lapsed: bool
) -> Action | None:
    """A lease without work. A lapsed one is still worth running: a late post counts until somebody takes the lapse."""
    if clock.chain_secs > task.request.deadline:
        return _alert_once(task, artefact, Reason("LOST-001", "the lease can no longer be met"))
    refusal = None
    if artefact.attempts >= policy.attempts:
        refusal = Reason("RELEASE-001", f"the engine failed on it {artefact.attempts} times")
    elif artefact.input is Input.BAD:
        refusal = Reason("RELEASE-004", str(artefact.bad))
    if refusal is not None:
        if lapsed:
            return _alert_once(task, artefact, Reason("LOST-001", refusal.text))
        return Action(Act.RELEASE, task.id, refusal)
    if artefact.input is Input.READY:
        return Action(Act.RUN, task.id, Reason("RUN-001", "given to the engine"))
    if artefact.input is Input.UNKNOWN:
        return Action(Act.FETCH, task.id)
    return None


def _alert_once(task: Task, artefact: Artefact, reason: Reason) -> Action | None:
    return None if artefact.alerted else Action(Act.ALERT, task.id, reason)


@dataclass(slots=True)
class _Batch:
    """The claim being put together."""

    free_units: int
    secs_before: float
    tasks: int = 0
    prompts: int = 0
    secs: float = 0.0
    closed: bool = False

    def has_room(self, facts: InputFacts, queue_secs: float, policy: Policy) -> bool:
        if self.tasks == 0:
            return True
        return (
            self.tasks < policy.batch_tasks
            and self.prompts + facts.prompts <= policy.batch_prompts
            and self.secs + queue_secs <= policy.batch_secs
        )

    def add(self, facts: InputFacts, queue_secs: float, bond_units: int) -> None:
        self.tasks += 1
        self.prompts += facts.prompts
        self.secs += queue_secs
        self.free_units -= bond_units


def _for_claimable(
    view: ChainView, artefacts: Mapping[bytes, Artefact], clock: Clock, policy: Policy, ahead: Ahead
) -> list[Action]:
    """Fetches, declines and at most one batch of claims, in the order of priority."""
    actions: list[Action] = []
    batch = _Batch(view.free_units, ahead.secs, closed=ahead.waiting > 0 or not policy.may_claim)
    means_units = view.free_units + view.locked_units
    looked_at = 0
    for task in view.claimable():
        artefact = artefacts.get(task.id, NOTHING_YET)
        if artefact.under_way is not None:
            # One batch ahead includes the one whose claim is on its way.
            batch.closed = True
            continue
        if artefact.declined is not None or _holds_up_nothing(task, artefact, clock, policy, means_units):
            continue
        looked_at += 1
        if looked_at > policy.fetch_ahead:
            break
        action = _for_open(task, artefact, clock, policy, batch)
        if action is not None:
            actions.append(action)
    return actions


def _holds_up_nothing(task: Task, artefact: Artefact, clock: Clock, policy: Policy, means_units: int) -> bool:
    """What may never become claimable is passed over: a bond that no settlement can free, a stranger's slow server."""
    if task.request.bond_units * policy.bond_unit_units > means_units:
        return why_not(task, clock, policy) is None
    slow = clock.wall_secs - artefact.fetch_started_at >= policy.patience_secs
    return artefact.input is Input.FETCHING and lies_outside(task.request.input_uri) and slow


def _for_open(task: Task, artefact: Artefact, clock: Clock, policy: Policy, batch: _Batch) -> Action | None:
    refusal = why_not(task, clock, policy)
    if refusal is None and artefact.input is Input.BAD:
        refusal = artefact.bad
    if refusal is not None:
        return Action(Act.DECLINE, task.id, refusal)
    if clock.wall_secs < artefact.retry_at:
        return None
    if artefact.input is Input.UNKNOWN:
        # A better-ranked task is waited for once; after its store failed, it no longer holds up the others.
        batch.closed = batch.closed or artefact.retry_at == 0
        return Action(Act.FETCH, task.id)
    if batch.closed and artefact.input is Input.READY:
        return None
    if artefact.input is Input.FETCHING or artefact.facts is None:
        # A better-ranked task that is about to be ready is not overtaken; a slow store is.
        if clock.wall_secs - artefact.fetch_started_at < policy.patience_secs:
            batch.closed = True
        return None
    refusal = why_not_checked(task, artefact.facts, policy)
    if refusal is not None:
        return Action(Act.DECLINE, task.id, refusal)
    return _into_batch(task, artefact.facts, policy, batch)


def _into_batch(task: Task, facts: InputFacts, policy: Policy, batch: _Batch) -> Action | None:
    queue_secs = policy.rates.queue_secs(facts)
    bond = task.request.bond_units * policy.bond_unit_units
    wait_secs = batch.secs_before + batch.secs
    if batch.closed or not batch.has_room(facts, queue_secs, policy) or bond > batch.free_units:
        batch.closed = True
        return None
    if wait_secs and not _fits_lease(task, wait_secs + facts.alone_secs, policy):
        # It would fit an idle engine: its turn comes.
        batch.closed = True
        return None
    batch.add(facts, queue_secs, bond)
    words = f"best priority of what can be served; up to {facts.alone_secs:.1f} s of work, {wait_secs:.1f} s before it"
    return Action(Act.CLAIM, task.id, Reason("CLAIM-020", words))


def why_not(task: Task, clock: Clock, policy: Policy) -> Reason | None:
    """Why a task is not for this worker, as far as the chain alone tells."""
    request = task.request
    bond = request.bond_units * policy.bond_unit_units
    if task.held_before:
        return Reason("CLAIM-008", "released or lost before; nobody claims the same task twice")
    if request.replicas != 1:
        return Reason("CLAIM-001", f"{request.replicas} replicas asked for; this worker serves one")
    if request.model_id not in policy.models:
        return Reason("CLAIM-002", f"model 0x{request.model_id.hex()} is not served here")
    if request.equivalence != ZERO_DIGEST:
        return Reason("CLAIM-009", f"class 0x{request.equivalence.hex()} is not this worker's")
    if bond > policy.max_bond_units:
        return Reason("CLAIM-004", f"bond of {bond} units, limit {policy.max_bond_units}")
    if request.max_output_tokens > policy.max_output_tokens:
        return Reason(
            "CLAIM-011", f"{request.max_output_tokens} output tokens, limit {policy.max_output_tokens}"
        )
    if clock.chain_secs + request.lease_secs > request.deadline:
        return Reason(
            "CLAIM-006", f"a lease of {request.lease_secs} s ends after the deadline {request.deadline}"
        )
    return None


def why_not_checked(task: Task, facts: InputFacts, policy: Policy) -> Reason | None:
    """Why a task with a sound input is still not for this worker."""
    request = task.request
    if facts.servable_prompts == 0:
        return Reason("CLAIM-010", f"none of the {facts.prompts} prompts fits the model's window")
    if facts.declared_tokens > request.max_output_tokens:
        return Reason(
            "CLAIM-005",
            f"the parameters allow {facts.declared_tokens} tokens, maxOutputTokens is {request.max_output_tokens}",
        )
    expected = facts.alone_secs
    if not _fits_lease(task, expected, policy):
        return Reason(
            "CLAIM-003",
            f"lease of {request.lease_secs} s too short for {facts.max_output_tokens} tokens ({expected:.1f} s)",
        )
    income, cost = low_income_units(task, policy), cost_units(expected, policy)
    if income < cost:
        return Reason("CLAIM-007", f"at least {income} units earned, {cost} units of gas and engine time")
    return None


def low_income_units(task: Task, policy: Policy) -> int:
    """Tip and charge if the outputs end up short."""
    request = task.request
    tokens = int(request.max_output_tokens * policy.low_output_share)
    charge = charge_units(request.max_fee_units, request.flat_percent, tokens, request.max_output_tokens)
    return request.tip_units + charge


def cost_units(expected_secs: float, policy: Policy) -> int:
    """Gas at the current base fee and the operator's price of the engine's time."""
    gas_units = policy.gas_per_task * policy.base_fee_wei // UNIT_WEI
    return gas_units + int(expected_secs * policy.units_per_engine_sec)


def _fits_lease(task: Task, secs: float, policy: Policy) -> bool:
    return secs * policy.lease_margin + policy.spare_secs <= task.request.lease_secs
