"""What to do next: a pure function of chain view, local artefacts, clock and policy. At most one action per task."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from worker.actions import Act, Action
from worker.admission import Ahead, Means, for_claimable
from worker.artefacts import NOTHING_YET, Artefact, Input, Stage
from worker.codes import Reason
from worker.policy import Clock, Policy
from worker.rounds import alert_once, for_round, for_won
from worker.task import Task
from worker.words import shown_secs

LEAST_SAVED = 0.1
"""Share of a bond for which a lease is given back; the rest is burned by the time it was held."""


class ChainView(Protocol):
    """What `decide` reads of the chain."""

    @property
    def me(self) -> str:
        """The worker's address."""

    @property
    def free_units(self) -> int:
        """The operator's balance that is neither bonded nor withdrawn."""

    @property
    def locked_units(self) -> int:
        """The operator's bonds."""

    def won(self) -> Iterable[Task]:
        """Replicated tasks whose quorum this worker is of, by the end of their challenge window or dispute."""

    def demanded(self) -> Iterable[Task]:
        """Tasks this worker answers for of which somebody calls for leaves."""

    def held(self) -> Iterable[Task]:
        """Tasks this worker has leased and neither posted nor committed to."""

    def rounds(self) -> Iterable[Task]:
        """Replicated tasks this worker has committed to, until their round is closed."""

    def posted(self) -> Iterable[Task]:
        """Tasks this worker answers for, by the end of their challenge window."""

    def disputed(self) -> Iterable[Task]:
        """Such tasks under a challenge."""

    def claimable(self) -> Iterable[Task]:
        """Open tasks, and tasks whose lease lapsed, best priority first."""


def decide(
    view: ChainView, artefacts: Mapping[bytes, Artefact], clock: Clock, policy: Policy
) -> tuple[Action, ...]:
    """All actions that are due now, those for money at stake first."""
    actions: list[Action | None] = []
    actions += [_for_demanded(task, artefacts.get(task.id, NOTHING_YET), clock) for task in view.demanded()]
    actions += [
        for_round(task, view.me, artefacts.get(task.id, NOTHING_YET), clock, policy) for task in view.rounds()
    ]
    ahead, lost_units = Ahead(), 0
    for task in view.held():
        artefact = artefacts.get(task.id, NOTHING_YET)
        ahead.add(artefact, policy)
        if artefact.hopeless:
            lost_units += task.request.bond_units * policy.bond_unit_units
        actions.append(_for_held(task, view.me, artefact, clock, policy))
    actions += _for_posted(view, artefacts, clock, policy)
    actions += [for_won(task, artefacts.get(task.id, NOTHING_YET), clock) for task in view.won()]
    actions += [
        _for_disputed(task, view.me, artefacts.get(task.id, NOTHING_YET), clock, policy)
        for task in view.disputed()
    ]
    if not policy.draining:
        means = Means(view.free_units, view.locked_units - lost_units)
        actions += for_claimable(view.claimable(), means, artefacts, clock, policy, ahead)
    surplus = view.free_units - policy.withdraw_above_units
    if policy.withdraw_above_units and surplus > policy.withdraw_above_units // 10:
        said = f"{policy.currency.show(surplus)} above the limit"
        actions.append(Action(Act.WITHDRAW, b"", Reason("WITHDRAW-001", said), surplus))
    return tuple(action for action in actions if action is not None)


def _for_demanded(task: Task, artefact: Artefact, clock: Clock) -> Action | None:
    """Every leaf that is called for, at once: each has its own time."""
    if artefact.unanswerable is not None:
        return alert_once(task, artefact, artefact.unanswerable)
    if clock.wall_secs < artefact.answer_retry_at:
        return None
    leaves = tuple(
        demand.leaf
        for demand in task.demands
        if demand.leaf not in artefact.answering and clock.chain_secs <= demand.until
    )
    if not leaves:
        return None
    named = ", ".join(str(leaf) for leaf in leaves)
    return Action(Act.ANSWER, task.id, Reason("DEMAND-004", f"leaf {named}"), leaves=leaves)


def _for_posted(
    view: ChainView, artefacts: Mapping[bytes, Artefact], clock: Clock, policy: Policy
) -> Iterator[Action]:
    """A window that is over, once every demand is answered."""
    for task in view.posted():
        if clock.chain_secs <= task.until:
            return
        artefact = artefacts.get(task.id, NOTHING_YET)
        if task.demands or artefact.under_way is not None or clock.wall_secs < artefact.retry_at:
            continue
        if clock.chain_secs > task.until + policy.turn_secs * task.place_of(view.me):
            yield Action(Act.SETTLE, task.id, Reason("SETTLE-001", "the challenge window is over"))


def _for_disputed(task: Task, me: str, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """A dispute on which the arbiter is silent."""
    over = clock.chain_secs > task.until + policy.turn_secs * task.place_of(me)
    if not over or task.demands or artefact.under_way is not None or clock.wall_secs < artefact.retry_at:
        return None
    return Action(Act.TIMEOUT, task.id, Reason("DISPUTE-002", "the time for a ruling is over"))


def _for_held(task: Task, me: str, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """The next step of a task this worker has leased."""
    if artefact.under_way is not None or clock.wall_secs < artefact.retry_at:
        return None
    lapsed = clock.chain_secs > task.lease_end(me)
    if artefact.given_up:
        return alert_once(task, artefact, Reason("LOST-001", "the market does not take its result"))
    if artefact.stage in {Stage.SEALED, Stage.SAVED}:
        if clock.chain_secs > task.request.deadline:
            return alert_once(
                task, artefact, Reason("LOST-001", "the deadline passed before the result was posted")
            )
        if task.replicated:
            return Action(Act.COMMIT, task.id, Reason("COMMIT-001", "result sealed"))
        return Action(Act.POST, task.id, Reason("POST-001", "result saved"))
    if artefact.stage is Stage.GENERATED:
        return Action(Act.PERSIST, task.id)
    if artefact.stage in {Stage.QUEUED, Stage.RUNNING, Stage.STORING}:
        if lapsed:
            return alert_once(task, artefact, Reason("LOST-001", "the lease lapsed before the work was done"))
        return _for_late(task, me, artefact, clock, policy)
    return _for_unstarted(task, artefact, clock, policy, lapsed=lapsed)


def _for_late(task: Task, me: str, artefact: Artefact, clock: Clock, policy: Policy) -> Action | None:
    """A lease that will not be met is given back while part of the bond is saved by it. Later it is kept: what comes
    late still counts until somebody takes the lapse.
    """
    left = task.lease_end(me) - clock.chain_secs
    queued = artefact.stage is Stage.QUEUED and artefact.facts is not None
    needed = artefact.facts.alone_secs if queued and artefact.facts is not None else artefact.left_secs
    if artefact.stage is Stage.STORING or needed is None or not policy.give_up_over:
        return None
    if left < LEAST_SAVED * task.request.lease_secs or needed <= policy.give_up_over * left:
        return None
    said = f"up to {shown_secs(needed)} of work left, {shown_secs(left)} of the lease"
    return Action(Act.RELEASE, task.id, Reason("RELEASE-003" if queued else "RELEASE-002", said))


def _for_unstarted(
    task: Task, artefact: Artefact, clock: Clock, policy: Policy, *, lapsed: bool
) -> Action | None:
    """A lease without work. A lapsed one is still worth running: a late post counts until somebody takes the lapse."""
    if clock.chain_secs > task.request.deadline:
        return alert_once(task, artefact, Reason("LOST-001", "the lease can no longer be met"))
    refusal = None
    if artefact.attempts >= policy.attempts:
        refusal = Reason("RELEASE-001", f"the engine failed on it {artefact.attempts} times")
    elif artefact.input is Input.BAD:
        refusal = Reason("RELEASE-004", str(artefact.bad))
    if refusal is not None:
        if lapsed:
            return alert_once(task, artefact, Reason("LOST-001", refusal.text))
        return Action(Act.RELEASE, task.id, refusal)
    if artefact.input is Input.READY:
        return Action(Act.RUN, task.id, Reason("RUN-001", "given to the engine"))
    if artefact.input is Input.UNKNOWN:
        return Action(Act.FETCH, task.id)
    return None
