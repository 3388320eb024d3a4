"""Which open tasks to fetch, decline and claim, in the order of the published priority; all pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocol.domain import UNIT_WEI
from protocol.money import charge_units, winner_units
from worker.actions import Act, Action
from worker.artefacts import NOTHING_YET, Artefact, Input, InputFacts, Stage, lies_outside
from worker.codes import Reason
from worker.policy import Clock, Policy
from worker.task import Task
from worker.words import shown_secs


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


@dataclass(slots=True)
class _Batch:
    """The claim being put together."""

    free_units: int
    secs_before: float
    tasks: int = 0
    prompts: int = 0
    secs: float = 0.0
    tokens: int = 0
    least_lease_secs: float = float("inf")
    fetched_since: float = float("inf")
    closed: bool = False
    joined_soon: bool = False

    def has_room(self, facts: InputFacts, queue_secs: float, policy: Policy) -> bool:
        """All of a batch share the engine: what joins must leave those before it their leases, and fit the KV cache."""
        if self.tasks == 0:
            return True
        together = self.secs_before + self.secs + queue_secs
        return (
            together * policy.lease_margin + policy.spare_secs <= self.least_lease_secs
            and self.tokens + policy.kv_tokens(facts) <= policy.batch_tokens
            and self.tasks < policy.batch_tasks
            and self.prompts + facts.prompts <= policy.batch_prompts
            and self.secs + queue_secs <= policy.batch_secs
        )

    def await_input(self) -> None:
        """What comes next in rank is about to be ready: nothing behind it is claimed before."""
        self.joined_soon = self.joined_soon or not self.closed
        self.closed = True

    def waits(self, clock: Clock, policy: Policy) -> bool:
        """Inputs that are read together are claimed together, in one transaction and for one start of the engine."""
        recent = clock.wall_secs - self.fetched_since < policy.gather_secs
        return self.joined_soon and recent and self.tasks < policy.batch_tasks

    def add(self, task: Task, facts: InputFacts, queue_secs: float, bond_units: int, policy: Policy) -> None:
        self.tasks += 1
        self.tokens += policy.kv_tokens(facts)
        self.least_lease_secs = min(self.least_lease_secs, task.request.lease_secs)
        self.prompts += facts.prompts
        self.secs += queue_secs
        self.free_units -= bond_units


@dataclass(frozen=True, slots=True)
class Means:
    """The operator's money in the market: free, and in bonds that may come free again."""

    free_units: int
    locked_units: int


def for_claimable(
    claimable: Iterable[Task],
    means: Means,
    artefacts: Mapping[bytes, Artefact],
    clock: Clock,
    policy: Policy,
    ahead: Ahead,
) -> list[Action]:
    """Fetches, declines and at most one batch of claims, in the order of priority."""
    actions: list[Action] = []
    batch = _Batch(means.free_units, ahead.secs, closed=ahead.waiting > 0)
    means_units = means.free_units + means.locked_units
    looked_at = prompt_tokens = 0
    for task in claimable:
        artefact = artefacts.get(task.id, NOTHING_YET)
        if artefact.under_way is not None:
            # One batch ahead includes the one whose claim is on its way.
            batch.closed = True
            continue
        if artefact.declined is not None or _holds_up_nothing(task, artefact, clock, policy, means_units):
            continue
        looked_at += 1
        if looked_at > policy.fetch_ahead or prompt_tokens > policy.fetch_ahead_tokens:
            break
        if artefact.facts is not None:
            prompt_tokens += artefact.facts.prompt_tokens
            if batch.closed and artefact.input is Input.READY:
                # Its turn comes, and it is looked at then: most tasks of a long queue are in this state.
                continue
        action = _for_open(task, artefact, clock, policy, batch)
        if action is not None:
            actions.append(action)
    if batch.waits(clock, policy):
        return [action for action in actions if action.act is not Act.CLAIM]
    return actions


def _holds_up_nothing(task: Task, artefact: Artefact, clock: Clock, policy: Policy, means_units: int) -> bool:
    """What may never become claimable is passed over: a bond that no settlement can free, a stranger's slow server."""
    if task.request.bond_units * policy.bond_unit_units > means_units:
        return why_not(task, clock, policy) is None
    if artefact.input is not Input.FETCHING:
        return False
    slow = clock.wall_secs - artefact.fetch_started_at >= policy.patience_secs
    return slow and lies_outside(task.request.input_uri)


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
        if artefact.retry_at == 0:
            batch.await_input()
        return Action(Act.FETCH, task.id)
    if artefact.input is Input.FETCHING or artefact.facts is None:
        # A better-ranked task that is about to be ready is not overtaken; a slow store is.
        if clock.wall_secs - artefact.fetch_started_at < policy.patience_secs:
            batch.await_input()
        return None
    refusal = why_not_checked(task, artefact.facts, policy)
    if refusal is not None:
        return Action(Act.DECLINE, task.id, refusal)
    return _into_batch(task, artefact, artefact.facts, policy, batch)


def _into_batch(
    task: Task, artefact: Artefact, facts: InputFacts, policy: Policy, batch: _Batch
) -> Action | None:
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
    batch.add(task, facts, queue_secs, bond, policy)
    batch.fetched_since = min(batch.fetched_since, artefact.fetch_started_at)
    words = f"best priority of what can be served; up to {shown_secs(facts.alone_secs)} of work"
    if wait_secs:
        words += f", {shown_secs(wait_secs)} before it"
    return Action(Act.CLAIM, task.id, Reason("CLAIM-020", words))


def why_not(task: Task, clock: Clock, policy: Policy) -> Reason | None:
    """Why a task is not for this worker, as far as the chain alone tells."""
    request = task.request
    bond = request.bond_units * policy.bond_unit_units
    if task.held_before:
        return Reason("CLAIM-008", "released or lost before; nobody claims the same task twice")
    if request.model_id not in policy.models:
        return Reason("CLAIM-002", f"model 0x{request.model_id.hex()} is not served here")
    if bond > policy.max_bond_units:
        limit = policy.currency.show(policy.max_bond_units)
        return Reason("CLAIM-004", f"bond of {policy.currency.show(bond)}, limit {limit}")
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
            f"lease of {request.lease_secs} s too short for {facts.max_output_tokens} tokens ({shown_secs(expected)})",
        )
    income, cost = low_income_units(task, policy), cost_units(expected, policy)
    if income < cost:
        return Reason(
            "CLAIM-007",
            f"at least {policy.currency.show(income)} earned, {policy.currency.show(cost)} of gas and engine time",
        )
    return None


def low_income_units(task: Task, policy: Policy) -> int:
    """Tip and charge if the outputs end up short."""
    request = task.request
    tokens = int(request.max_output_tokens * policy.low_output_share)
    charge = charge_units(request.max_fee_units, request.flat_percent, tokens, request.max_output_tokens)
    return winner_units(charge, task.tip_units, request.replicas)


def cost_units(expected_secs: float, policy: Policy) -> int:
    """Gas at the current base fee and the operator's price of the engine's time. What gas is worth in a token, nobody
    here knows: it belongs into the price of the time there.
    """
    gas_units = policy.gas_per_task * policy.base_fee_wei // UNIT_WEI if policy.currency.is_ether else 0
    return gas_units + int(expected_secs * policy.units_per_engine_sec)


def _fits_lease(task: Task, secs: float, policy: Policy) -> bool:
    return secs * policy.lease_margin + policy.spare_secs <= task.request.lease_secs
