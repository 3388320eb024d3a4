"""Every wei of the run: what each account got, sent, and burned as gas, against what it has now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from chain.rpc import NodeError, Rpc
from protocol.digest import JsonValue
from protocol.domain import UNIT_WEI
from protocol.lifecycle import TaskState
from protocol.replay import MarketView
from wallet.desk import Desk

_BLOCKS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Account:
    """Wei. `paid_out` is what the market sent on withdrawals; `unexplained` is 0 when the books balance."""

    name: str
    address: str
    received: int
    sent: int
    paid_out: int
    gas: int
    balance: int

    @property
    def unexplained(self) -> int:
        return self.received + self.paid_out - self.sent - self.gas - self.balance


@dataclass(frozen=True, slots=True)
class Books:
    """`market_unexplained`: ether in the market less what its events say it holds, in wei."""

    accounts: tuple[Account, ...]
    market_balance: int
    market_unexplained: int
    burned: int
    fees_paid: int
    fees_earned: int

    @property
    def balanced(self) -> bool:
        return (
            all(account.unexplained == 0 for account in self.accounts)
            and self.market_unexplained == 0
            and self.fees_paid == self.fees_earned
        )


def close(desk: Desk, names: Mapping[str, str], withdrawn_units: Mapping[str, int], worker: str) -> Books:
    """From all transactions of the chain so far. `names`: address to name; `withdrawn_units` by address."""
    received = dict.fromkeys(names, 0)
    sent = dict.fromkeys(names, 0)
    gas = dict.fromkeys(names, 0)
    for sender, receiver, value_wei, gas_wei in transactions(desk.rpc):
        if sender in names:
            sent[sender] += value_wei
            gas[sender] += gas_wei
        if receiver in names:
            received[receiver] += value_wei
    accounts = tuple(
        Account(
            name,
            address,
            received[address],
            sent[address],
            withdrawn_units.get(address, 0) * UNIT_WEI,
            gas[address],
            desk.rpc.balance_wei(address),
        )
        for address, name in names.items()
    )
    view = desk.read().market
    balance = desk.rpc.balance_wei(desk.deployment.market)
    return Books(
        accounts=accounts,
        market_balance=balance,
        market_unexplained=balance - view.totals.held_units * UNIT_WEI,
        burned=view.totals.burned_units * UNIT_WEI,
        fees_paid=_fees_paid(view) * UNIT_WEI,
        fees_earned=sum(task.paid_units for task in view.tasks.values() if task.worker == worker) * UNIT_WEI,
    )


def transactions(rpc: Rpc) -> Iterable[tuple[str, str, int, int]]:
    """(sender, receiver, value in wei, gas cost in wei) of every transaction; addresses in EIP-55 form."""
    from protocol.abi import parse_address

    head = rpc.block_number()
    for first in range(0, head + 1, _BLOCKS_AT_ONCE):
        numbers = range(first, min(head + 1, first + _BLOCKS_AT_ONCE))
        blocks = _answers(rpc, [("eth_getBlockByNumber", [hex(number), True]) for number in numbers])
        found = [
            transaction
            for block in blocks
            for transaction in cast("list[dict[str, str]]", block["transactions"])
        ]
        receipts = (
            _answers(rpc, [("eth_getTransactionReceipt", [item["hash"]]) for item in found]) if found else []
        )
        for item, receipt in zip(found, receipts, strict=True):
            cost = int(str(receipt["gasUsed"]), 16) * int(str(receipt["effectiveGasPrice"]), 16)
            receiver = parse_address("to", item["to"]) if item.get("to") else ""
            # A transaction that failed moved no value.
            value = int(item["value"], 16) if receipt["status"] == "0x1" else 0
            yield parse_address("from", item["from"]), receiver, value, cost


def gas_of(rpc: Rpc, tx_hash: bytes) -> int:
    """Gas used by a mined transaction."""
    receipt = cast("dict[str, str]", rpc.call("eth_getTransactionReceipt", "0x" + tx_hash.hex()))
    return int(receipt["gasUsed"], 16)


def _answers(rpc: Rpc, calls: list[tuple[str, list[JsonValue]]]) -> list[dict[str, JsonValue]]:
    found = []
    for answer in rpc.batch(calls):
        if isinstance(answer, NodeError):
            raise answer
        found.append(cast("dict[str, JsonValue]", answer))
    return found


def _fees_paid(view: MarketView) -> int:
    """What requesters gave up: escrow less refund of every settled task."""
    return sum(
        task.request.max_fee_units + task.tip_units - task.refunded_units
        for task in view.tasks.values()
        if task.state is TaskState.SETTLED
    )
