"""One requester's way to one market: the node checked, the events read, money known, calls sent."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from chain.call import Call
from chain.deployment import Deployment, check, load
from chain.market import Market
from chain.rpc import Block, Rpc
from protocol.abi import ZERO_ADDRESS
from protocol.currency import ETHER, Currency
from protocol.domain import Domain
from protocol.errors import BadInput
from wallet.models import Registered, announced_uri
from wallet.quote import Terms
from wallet.tasks import Order, TaskStatus, of_requester
from wallet.view import MarketReader, Snapshot

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.journal import TxReceipt

PLAIN_GAS = 150_000


class NotThatMuch(BadInput):
    """More than there is to move."""

    def __init__(self, field: str, asked: str, there: str) -> None:
        super().__init__("DESK-004", field, asked, f"there are {there}; ask for less or add some")


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
    def order(self) -> Order:
        """By what the market ranks tasks."""
        return Order(self.deployment.parameters.age_rate_wei, self.currency.unit)

    @property
    def currency(self) -> Currency:
        return self.deployment.currency

    @property
    def is_ether(self) -> bool:
        """By the parameter and not by the symbol, which a token may choose as it likes."""
        return self.deployment.parameters.token == ZERO_ADDRESS

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
            currency=self.currency,
        )

    def tasks(self, requester: str | None) -> tuple[TaskStatus, ...]:
        """Tasks of an address, or of everybody, oldest first."""
        snapshot = self.read()
        return of_requester(snapshot.market, requester, clock(snapshot.head), self.order)

    def announce(self, model: Registered, account: "LocalAccount") -> "TxReceipt | None":
        """Announce a model under its name; None if it is announced already. Raises NotThatMuch without gas."""
        if model.model_id in self.read().models:
            return None
        self.require_gas(account.address)
        call = self.market.announce(model.model_id, announced_uri(model.model_id, model.name))
        return self.send(call, account)

    def send(self, call: Call, account: "LocalAccount") -> "TxReceipt":
        """Simulate first, then send and wait. Raises MarketRevert, TransactionReverted, NotMined."""
        from chain.sender import Sender

        return Sender(self.rpc, account).send_and_wait(call)

    def require_gas(self, address: str, gas: int = PLAIN_GAS) -> int:
        """Wei of ether beyond `gas` at the present price. Raises NotThatMuch."""
        needed_wei = gas * self.gas_price_wei()
        there_wei = self.rpc.balance_wei(address)
        if there_wei < needed_wei:
            needed, there = (ETHER.show(-(-wei // ETHER.unit)) for wei in (needed_wei, there_wei))
            raise NotThatMuch(f"ether of {address} for gas", needed, there)
        return there_wei - needed_wei


def clock(head: Block) -> int:
    """The second by which limits are judged: an idle chain's head is old, a test chain's may be ahead."""
    return max(head.timestamp, int(time.time()))
