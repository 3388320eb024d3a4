"""A market's panel of arbiters: typed reads, and builders of its members' calls."""

from dataclasses import dataclass
from typing import cast

from chain.bindings import PanelArbiterAbi
from chain.call import Call, simulate
from chain.deployment import ArbiterKind, Deployment
from chain.rpc import Rpc
from protocol.abi import parse_address
from protocol.errors import BadInput
from protocol.states import Vote


class NoPanel(BadInput):
    """The market's arbiter is no panel."""

    def __init__(self, arbiter: str) -> None:
        super().__init__("CHAIN-018", "arbiter", arbiter, "it is no panel; use its own tools")


@dataclass(frozen=True, slots=True)
class Hearing:
    """A vote on one task. Times are unix seconds, 0 where none was opened; `faulty` counts the revealed votes for
    a fault, `share_units` is what each member of the majority got.
    """

    commit_until: int
    reveal_until: int
    committed: int
    revealed: int
    faulty: int
    ruled: bool
    share_units: int

    @property
    def opened(self) -> bool:
        return self.commit_until > 0


class Panel:
    """Reads raise RpcUnavailable, NodeError or MarketRevert; builders touch no network. Raises NoPanel."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        if deployment.arbiter_kind is not ArbiterKind.PANEL:
            raise NoPanel(deployment.arbiter)
        self._rpc = rpc
        self._market = deployment.market
        self.address = deployment.arbiter

    # ---- reads

    def members(self) -> tuple[str, ...]:
        data = self._read("members", PanelArbiterAbi.encode_members())
        return tuple(parse_address("member", member) for member in PanelArbiterAbi.decode_members(data))

    def threshold(self) -> int:
        """Equal votes that make a ruling."""
        data = self._read("threshold", PanelArbiterAbi.encode_threshold())
        return PanelArbiterAbi.decode_threshold(data)

    def ruling_secs(self) -> int:
        """From the opening of a hearing to the end of its reveal."""
        data = self._read("rulingSecs", PanelArbiterAbi.encode_ruling_secs())
        return PanelArbiterAbi.decode_ruling_secs(data)

    def hearing(self, task_id: bytes) -> Hearing:
        data = self._read("hearingOf", PanelArbiterAbi.encode_hearing_of(self._market, task_id))
        return Hearing(
            *cast("tuple[int, int, int, int, int, bool, int]", PanelArbiterAbi.decode_hearing_of(data))
        )

    def vote(self, task_id: bytes, member: str) -> Vote:
        data = self._read("voteOf", PanelArbiterAbi.encode_vote_of(self._market, task_id, member))
        return Vote(PanelArbiterAbi.decode_vote_of(data))

    def share_units(self, member: str) -> int:
        """What the member may collect."""
        data = self._read("shareOf", PanelArbiterAbi.encode_share_of(self._market, member))
        return PanelArbiterAbi.decode_share_of(data)

    # ---- calls

    def open(self, task_id: bytes) -> Call:
        return self._call("open", PanelArbiterAbi.encode_open(self._market, task_id))

    def commit_vote(self, task_id: bytes, commitment: bytes) -> Call:
        """`commitment` is `protocol.panel.vote_digest`."""
        return self._call("commitVote", PanelArbiterAbi.encode_commit_vote(self._market, task_id, commitment))

    def reveal_vote(self, task_id: bytes, *, faulty: bool, salt: bytes) -> Call:
        data = PanelArbiterAbi.encode_reveal_vote(self._market, task_id, faulty, salt)
        return self._call("revealVote", data)

    def rule(self, task_id: bytes) -> Call:
        return self._call("rule", PanelArbiterAbi.encode_rule(self._market, task_id))

    def collect(self, to: str) -> Call:
        return self._call("collect", PanelArbiterAbi.encode_collect(self._market, to))

    def _call(self, name: str, data: bytes) -> Call:
        return Call(name, self.address, data)

    def _read(self, name: str, data: bytes) -> bytes:
        return simulate(self._rpc, self._call(name, data))
