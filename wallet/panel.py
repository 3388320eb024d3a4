"""A panel member's side: what is in dispute, one vote committed and later shown, the ruling carried to the market.

The salt of a vote is an HMAC under the member's key. So a vote survives a lost disk: whoever has the key commits
and reveals from any machine, and the vote itself is read back from the commitment on chain.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.call import Call
from chain.panel import Hearing, Panel
from protocol.digest import JsonValue, to_hex
from protocol.errors import BadInput, NotYet
from protocol.lifecycle import DemandState, TaskState, TaskView, Vote
from protocol.panel import vote_digest, vote_salt
from wallet.desk import Desk, clock
from wallet.view import Snapshot

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


class NotAMember(BadInput):
    """Only members vote."""

    def __init__(self, address: str, members: tuple[str, ...]) -> None:
        super().__init__("PANEL-001", "wallet", address, f"members are {', '.join(members)}; choose --wallet")


class NotInDispute(BadInput):
    """Nobody challenged the task, or the dispute is over."""

    def __init__(self, task: TaskView) -> None:
        super().__init__(
            "PANEL-002", "task", task.task_id, f"it is {task.state.name.lower()}; see 'quern panel list'"
        )


class HearingNotOpen(NotYet):
    """Votes need an open hearing."""

    def __init__(self, task: bytes) -> None:
        super().__init__("PANEL-003", "task", task, "no hearing is open; open it by 'quern panel open'")


class HearingIsOpen(BadInput):
    """A hearing is opened once."""

    def __init__(self, task: bytes, commit_until: int) -> None:
        super().__init__(
            "PANEL-004", "task", task, f"its hearing is open; votes are committed until {commit_until}"
        )


class TooLateForHearing(BadInput):
    """A hearing opened now would not end within the market's time for a ruling."""

    def __init__(self, task: bytes, latest: int) -> None:
        fix = f"a ruling is due by {latest}, too soon for a vote; after that anybody may end the dispute"
        super().__init__("PANEL-005", "task", task, fix)


class VoteTooLate(BadInput):
    """The time for this step of a vote is over."""

    def __init__(self, step: str, task: bytes, until: int) -> None:
        super().__init__("PANEL-006", f"{step} for task", task, f"it had to come by {until}")


class VoteTooEarly(NotYet):
    """Votes are shown once no more can be committed."""

    def __init__(self, task: bytes, commit_until: int) -> None:
        super().__init__(
            "PANEL-007", "task", task, f"others may still commit until {commit_until}; reveal after that"
        )


class AlreadyVoted(BadInput):
    """One vote a member."""

    def __init__(self, task: bytes, address: str, vote: Vote) -> None:
        super().__init__(
            "PANEL-008", "task", task, f"{address} has {vote.name.lower()} already; a vote is final"
        )


class VoteNotSaid(BadInput):
    """Neither of the two votes was named."""

    def __init__(self) -> None:
        super().__init__("PANEL-009", "vote", None, "give --faulty or --sound")


class NoVote(BadInput):
    """Nothing to reveal."""

    def __init__(self, task: bytes, address: str) -> None:
        super().__init__("PANEL-010", "task", task, f"{address} committed no vote; 'quern panel vote' does")


class ForeignVote(BadInput):
    """A commitment that was not made from this key by this tool."""

    def __init__(self, task: bytes, commitment: bytes) -> None:
        super().__init__(
            "PANEL-011",
            "commitment",
            commitment,
            f"task {to_hex(task)}: it was made elsewhere; reveal it there",
        )


class NothingEarned(BadInput):
    """No share waits."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "PANEL-012", "share", 0, f"{address} has none; a member earns by voting with a ruling"
        )


class NoRulingYet(NotYet):
    """Neither side has enough votes."""

    def __init__(self, task: bytes, faulty: int, sound: int, threshold: int) -> None:
        fix = f"{faulty} votes say faulty, {sound} sound, {threshold} are needed; wait for more reveals"
        super().__init__("PANEL-013", "task", task, fix)


class DemandsFirst(NotYet):
    """A ruling waits for open demands."""

    def __init__(self, task: bytes, demands: int) -> None:
        super().__init__(
            "PANEL-014",
            "open demands of task",
            task,
            f"{demands}; they are answered or lapse first, then rule",
        )


@dataclass(frozen=True, slots=True)
class Case:
    """One task in dispute with its hearing; `votes` are the members' in the panel's order."""

    task: TaskView
    hearing: Hearing
    votes: tuple[tuple[str, Vote], ...]
    threshold: int
    now: int

    @property
    def phase(self) -> str:
        hearing = self.hearing
        if hearing.ruled:
            return "ruled"
        if not hearing.opened:
            return "no hearing yet"
        if self.has_majority:
            return "to be ruled"
        if not self.all_committed and self.now <= hearing.commit_until:
            return "committing"
        return "revealing" if self.now <= hearing.reveal_until else "no majority"

    @property
    def all_committed(self) -> bool:
        return self.hearing.committed == len(self.votes)

    @property
    def sound(self) -> int:
        return self.hearing.revealed - self.hearing.faulty

    @property
    def has_majority(self) -> bool:
        return max(self.hearing.faulty, self.sound) >= self.threshold

    def vote_of(self, member: str) -> Vote:
        return dict(self.votes)[member]

    def to_json(self) -> dict[str, JsonValue]:
        task, hearing = self.task, self.hearing
        return {
            "task": to_hex(task.task_id),
            "phase": self.phase,
            "challenger": task.challenger,
            "workers": list(task.winners),
            "requester": task.request.requester,
            "model": to_hex(task.request.model_id),
            "output_tokens": task.output_tokens,
            "open_demands": task.open_demands,
            "ruling_until": task.until,
            "commit_until": hearing.commit_until or None,
            "reveal_until": hearing.reveal_until or None,
            "threshold": self.threshold,
            "faulty": hearing.faulty,
            "sound": self.sound,
            "votes": {member: vote.name.lower() for member, vote in self.votes},
        }


class Bench:
    """The panel of a deployment. Every method may raise RpcUnavailable or NodeError."""

    def __init__(self, desk: Desk) -> None:
        """Raises NoPanel."""
        self._desk = desk
        self.panel = Panel(desk.rpc, desk.deployment)
        self.members = self.panel.members()

    def cases(self) -> tuple[Case, ...]:
        """Every task in dispute, the one whose ruling is due first first."""
        snapshot = self._desk.read()
        disputed = [task for task in snapshot.market.tasks.values() if task.state is TaskState.DISPUTED]
        return tuple(self.case(task, snapshot) for task in sorted(disputed, key=lambda task: task.until))

    def case(self, task: TaskView, snapshot: Snapshot) -> Case:
        hearing = self.panel.hearing(task.task_id)
        votes = tuple((member, self.panel.vote(task.task_id, member)) for member in self.members)
        return Case(task, hearing, votes, self.panel.threshold(), clock(snapshot.head))

    def require_member(self, address: str) -> None:
        """Raises NotAMember."""
        if address not in self.members:
            raise NotAMember(address, self.members)

    def open_call(self, case: Case) -> Call:
        """Raises NotInDispute, HearingIsOpen, TooLateForHearing."""
        self._require_disputed(case)
        if case.hearing.opened:
            raise HearingIsOpen(case.task.task_id, case.hearing.commit_until)
        if case.now + self.panel.ruling_secs() > case.task.until:
            raise TooLateForHearing(case.task.task_id, case.task.until)
        return self.panel.open(case.task.task_id)

    def require_votable(self, case: Case, member: str) -> None:
        """Raises NotAMember, NotInDispute, HearingNotOpen, AlreadyVoted, VoteTooLate."""
        self.require_member(member)
        self._require_open(case)
        if case.vote_of(member) is not Vote.NONE:
            raise AlreadyVoted(case.task.task_id, member, case.vote_of(member))
        if case.now > case.hearing.commit_until:
            raise VoteTooLate("vote", case.task.task_id, case.hearing.commit_until)

    def vote_call(self, task: bytes, account: "LocalAccount", *, faulty: bool) -> Call:
        return self.panel.commit_vote(task, self._commitment(task, account, faulty=faulty))

    def require_revealable(self, case: Case, member: str) -> None:
        """Raises NotAMember, NotInDispute, HearingNotOpen, NoVote, AlreadyVoted, VoteTooEarly, VoteTooLate."""
        self.require_member(member)
        self._require_open(case)
        vote, hearing = case.vote_of(member), case.hearing
        if vote is Vote.NONE:
            raise NoVote(case.task.task_id, member)
        if vote is not Vote.COMMITTED:
            raise AlreadyVoted(case.task.task_id, member, vote)
        if case.now <= hearing.commit_until and not case.all_committed:
            raise VoteTooEarly(case.task.task_id, hearing.commit_until)
        if case.now > hearing.reveal_until:
            raise VoteTooLate("reveal", case.task.task_id, hearing.reveal_until)

    def reveal_call(self, task: bytes, account: "LocalAccount", snapshot: Snapshot) -> tuple[Call, bool]:
        """The reveal, and whether the vote was "faulty": the key tells which of the two was committed.

        Raises ForeignVote.
        """
        committed = snapshot.votes.get((task, account.address), b"")
        for faulty in (True, False):
            if self._commitment(task, account, faulty=faulty) == committed:
                salt = vote_salt(bytes(account.key), self.panel.address, self._market, task)
                return self.panel.reveal_vote(task, faulty=faulty, salt=salt), faulty
        raise ForeignVote(task, committed)

    def rule_call(self, case: Case, snapshot: Snapshot) -> Call:
        """Raises NotInDispute, HearingNotOpen, DemandsFirst, NoRulingYet."""
        self._require_open(case)
        task_id = case.task.task_id
        open_demands = sum(
            demand.state is DemandState.OPEN
            for (task, _), demand in snapshot.market.demands.items()
            if task == task_id
        )
        if open_demands:
            raise DemandsFirst(task_id, open_demands)
        if not case.has_majority:
            raise NoRulingYet(task_id, case.hearing.faulty, case.sound, case.threshold)
        return self.panel.rule(task_id)

    def collect_call(self, member: str, to: str) -> tuple[Call, int]:
        """The call and the UNITs it brings. Raises NotAMember, NothingEarned."""
        self.require_member(member)
        share_units = self.panel.share_units(member)
        if not share_units:
            raise NothingEarned(member)
        return self.panel.collect(to), share_units

    @property
    def _market(self) -> str:
        return self._desk.deployment.market

    def _commitment(self, task: bytes, account: "LocalAccount", *, faulty: bool) -> bytes:
        salt = vote_salt(bytes(account.key), self.panel.address, self._market, task)
        chain_id = self._desk.deployment.chain_id
        return vote_digest(
            chain_id, self.panel.address, self._market, task, member=account.address, faulty=faulty, salt=salt
        )

    def _require_disputed(self, case: Case) -> None:
        if case.task.state is not TaskState.DISPUTED:
            raise NotInDispute(case.task)

    def _require_open(self, case: Case) -> None:
        self._require_disputed(case)
        if not case.hearing.opened:
            raise HearingNotOpen(case.task.task_id)
