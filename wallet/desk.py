"""One requester's way to one market: the node checked, the events read, money known, calls sent."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain.call import Call
from chain.deployment import Deployment, check, load
from chain.market import Market
from chain.rpc import Block, Rpc
from protocol.domain import UNIT_WEI, Domain
from protocol.errors import BadInput
from protocol.lifecycle import Standing, TaskView, derived_state
from wallet.models import Registered, announced_uri
from wallet.quote import Terms, keeps_its_rank
from wallet.tasks import TaskStatus, of_requester
from wallet.view import MarketReader, Snapshot

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.journal import TxReceipt

_PLAIN_GAS = 150_000


class NotYourTask(BadInput):
    """Only who submitted a task may change it."""

    def __init__(self, task: TaskView, address: str) -> None:
        fix = f"it belongs to {task.request.requester}, the wallet is {address}; choose that --wallet"
        super().__init__("DESK-001", "task", task.task_id, fix)


class NotCancellable(BadInput):
    """A worker holds the task, or it has ended."""

    def __init__(self, task: TaskView, standing: Standing) -> None:
        super().__init__(
            "DESK-002",
            "task",
            task.task_id,
            f"it is {standing.name.lower()}; only a task that nobody holds can be taken back",
        )


class TipNotRaised(BadInput):
    """A tip can only be raised, only while the task is open, and never so that the task ranks lower."""

    def __init__(self, task: TaskView, tip_units: int, reason: str) -> None:
        super().__init__(
            "DESK-003", "tip", f"{tip_units} gwei", f"{reason} (it is {task.tip_units} gwei now)"
        )


class NotThatMuch(BadInput):
    """More than there is to move."""

    def __init__(self, field: str, asked_units: int, there_units: int) -> None:
        super().__init__(
            "DESK-004",
            field,
            f"{asked_units} gwei",
            f"{there_units} gwei are there; ask for less or add some",
        )


@dataclass(frozen=True, slots=True)
class Money:
    """UNITs: `free` may be withdrawn, `locked` are bonds, `escrow` is held by `tasks`."""

    address: str
    free_units: int
    locked_units: int
    escrow_units: int
    wallet_wei: int
    tasks: tuple[TaskStatus, ...]


class Desk:
    """Reads and calls of one market. Every method may raise RpcUnavailable or NodeError."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self.market = Market(rpc, deployment)
        self._reader = MarketReader(rpc, deployment)

    @staticmethod
    def open(deployment_file: Path, rpc_url: str | None = None) -> "Desk":
        """Raises NoDeployment, BadDeployment, WrongChain, ChainReset, RpcUnavailable."""
        deployment = load(deployment_file)
        rpc = Rpc(rpc_url or deployment.rpc_url)
        check(deployment, rpc)
        return Desk(rpc, deployment)

    @property
    def domain(self) -> Domain:
        return self.deployment.domain

    @property
    def age_rate_wei(self) -> int:
        return self.deployment.parameters.age_rate_wei

    def read(self) -> Snapshot:
        """The market up to the present head; raises ChainUnsteady, ImpossibleHistory."""
        return self._reader.read()

    def gas_price_wei(self) -> int:
        return int(str(self.rpc.call("eth_gasPrice")), 16)

    def terms(self) -> Terms:
        """What a quote needs to know of market and chain."""
        parameters = self.deployment.parameters
        return Terms(
            min_lease_secs=parameters.min_lease_secs,
            max_life_secs=parameters.max_life_secs,
            age_rate_wei=parameters.age_rate_wei,
            gas_price_wei=self.gas_price_wei(),
        )

    def money(self, address: str) -> Money:
        """Where an address's money is, and which tasks hold some of it."""
        snapshot = self.read()
        account = self.market.account(address)
        tasks = of_requester(snapshot.market, address, clock(snapshot.head), self.age_rate_wei)
        holding = tuple(task for task in tasks if task.locked_units)
        return Money(
            address=address,
            free_units=account.free_units,
            locked_units=account.locked_units,
            escrow_units=sum(task.locked_units for task in holding),
            wallet_wei=self.rpc.balance_wei(address),
            tasks=holding,
        )

    def tasks(self, requester: str | None) -> tuple[TaskStatus, ...]:
        """Tasks of an address, or of everybody, oldest first."""
        snapshot = self.read()
        return of_requester(snapshot.market, requester, clock(snapshot.head), self.age_rate_wei)

    def announce(self, model: Registered, account: "LocalAccount") -> "TxReceipt | None":
        """Announce a model under its name; None if it is announced already. Raises NotThatMuch without gas."""
        if model.model_id in self.read().models:
            return None
        self._require_gas(account.address)
        call = self.market.announce(model.model_id, announced_uri(model.model_id, model.name))
        return self.send(call, account)

    def cancel_call(self, task: TaskView, address: str, head: Block) -> Call:
        """`cancel`, or `expire` where time has ended the task. Raises NotYourTask, NotCancellable."""
        self._require_own(task, address)
        standing = derived_state(task, clock(head))
        if standing is Standing.EXPIRED:
            return self.market.expire(task.task_id)
        if standing not in (Standing.OPEN, Standing.LAPSED):
            raise NotCancellable(task, standing)
        return self.market.cancel(task.task_id)

    def tip_calls(self, task: TaskView, tip_units: int, address: str, head: Block) -> tuple[Call, ...]:
        """The raise, after a deposit of what the free balance lacks for it.

        Raises NotYourTask, TipNotRaised, NotThatMuch.
        """
        self._require_own(task, address)
        now = clock(head)
        if derived_state(task, now) is not Standing.OPEN:
            raise TipNotRaised(task, tip_units, "only an open task's tip can be raised")
        if tip_units <= task.tip_units:
            raise TipNotRaised(task, tip_units, "give a higher tip")
        if not keeps_its_rank(task, tip_units, now, self.terms()):
            raise TipNotRaised(
                task, tip_units, "raising restarts the wait, so this would rank lower; raise more"
            )
        raised = self.market.raise_tip(task.task_id, tip_units)
        lacking_units = tip_units - task.tip_units - self.market.account(address).free_units
        if lacking_units <= 0:
            return (raised,)
        return self.deposit_call(lacking_units, address, address), raised

    def deposit_call(self, units: int, address: str, beneficiary: str) -> Call:
        """Raises NotThatMuch if the wallet's ether does not cover amount and gas."""
        spendable_units = self._require_gas(address)
        if not 0 < units <= spendable_units:
            raise NotThatMuch("deposit", units, spendable_units)
        return self.market.deposit(beneficiary, units)

    def withdraw_call(self, units: int | None, address: str, to: str) -> Call:
        """All that is free if `units` is None. Raises NotThatMuch."""
        free_units = self.market.account(address).free_units
        wanted = free_units if units is None else units
        if not 0 < wanted <= free_units:
            raise NotThatMuch("withdrawal", wanted, free_units)
        return self.market.withdraw(wanted, to)

    def send(self, call: Call, account: "LocalAccount") -> "TxReceipt":
        """Simulate first, then send and wait. Raises MarketRevert, TransactionReverted, NotMined."""
        from chain.sender import Sender

        return Sender(self.rpc, account).send_and_wait(call)

    def _require_gas(self, address: str) -> int:
        """UNITs of ether beyond the gas of one plain call. Raises NotThatMuch."""
        gas_units = -(-_PLAIN_GAS * self.gas_price_wei() // UNIT_WEI)
        there_units = self.rpc.balance_wei(address) // UNIT_WEI
        if there_units < gas_units:
            raise NotThatMuch("ether for gas", gas_units, there_units)
        return there_units - gas_units

    @staticmethod
    def _require_own(task: TaskView, address: str) -> None:
        if task.request.requester != address:
            raise NotYourTask(task, address)


def clock(head: Block) -> int:
    """The second by which limits are judged: an idle chain's head is old, a test chain's may be ahead."""
    return max(head.timestamp, int(time.time()))
