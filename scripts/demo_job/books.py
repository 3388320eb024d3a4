"""Every wei of the run: what each account got, sent, and burned as gas, against what it has now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from chain.rpc import NodeError, Rpc
from protocol.abi import parse_address
from protocol.digest import JsonValue
from protocol.domain import UNIT_WEI
from protocol.lifecycle import TaskState
from protocol.replay import MarketView
from wallet.desk import Desk

_BLOCKS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Account:
    """`paid_out_wei` is what the market sent on withdrawals; `unexplained_wei` is 0 when the books balance."""

    name: str
    address: str
    received_wei: int
    sent_wei: int
    paid_out_wei: int
    gas_wei: int
    balance_wei: int

    @property
    def unexplained_wei(self) -> int:
        return self.received_wei + self.paid_out_wei - self.sent_wei - self.gas_wei - self.balance_wei


@dataclass(frozen=True, slots=True)
class Books:
    """`market_unexplained_wei`: ether in the market less what its events say it holds."""

    accounts: tuple[Account, ...]
    market_balance_wei: int
    market_unexplained_wei: int
    burned_wei: int
    fees_paid_wei: int
    fees_earned_wei: int

    @property
    def balanced(self) -> bool:
        return (
            all(account.unexplained_wei == 0 for account in self.accounts)
            and self.market_unexplained_wei == 0
            and self.fees_paid_wei == self.fees_earned_wei
        )


def close(desk: Desk, names: Mapping[str, str], withdrawn_units: Mapping[str, int], worker: str) -> Books:
    """From all transactions of the chain so far. `names`: address to name; `withdrawn_units` by address."""
    received_wei = dict.fromkeys(names, 0)
    sent_wei = dict.fromkeys(names, 0)
    gas_wei = dict.fromkeys(names, 0)
    for sender, receiver, value_wei, cost_wei in transactions(desk.rpc):
        if sender in names:
            sent_wei[sender] += value_wei
            gas_wei[sender] += cost_wei
        if receiver in names:
            received_wei[receiver] += value_wei
    accounts = tuple(
        Account(
            name,
            address,
            received_wei[address],
            sent_wei[address],
            withdrawn_units.get(address, 0) * UNIT_WEI,
            gas_wei[address],
            desk.rpc.balance_wei(address),
        )
        for address, name in names.items()
    )
    view = desk.read().market
    balance_wei = desk.rpc.balance_wei(desk.deployment.market)
    return Books(
        accounts=accounts,
        market_balance_wei=balance_wei,
        market_unexplained_wei=balance_wei - view.totals.held_units * UNIT_WEI,
        burned_wei=view.totals.burned_units * UNIT_WEI,
        fees_paid_wei=_fees_paid_units(view) * UNIT_WEI,
        fees_earned_wei=sum(task.paid_units for task in view.tasks.values() if task.worker == worker)
        * UNIT_WEI,
    )


def transactions(rpc: Rpc) -> Iterable[tuple[str, str, int, int]]:
    """(sender, receiver, value in wei, gas cost in wei) of every transaction; addresses in EIP-55 form."""
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
            cost_wei = int(str(receipt["gasUsed"]), 16) * int(str(receipt["effectiveGasPrice"]), 16)
            receiver = parse_address("to", item["to"]) if item.get("to") else ""
            # A transaction that failed moved no value.
            value_wei = int(item["value"], 16) if receipt["status"] == "0x1" else 0
            yield parse_address("from", item["from"]), receiver, value_wei, cost_wei


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


def _fees_paid_units(view: MarketView) -> int:
    """What requesters gave up: escrow less refund of every settled task."""
    return sum(
        task.request.max_fee_units + task.tip_units - task.refunded_units
        for task in view.tasks.values()
        if task.state is TaskState.SETTLED
    )
