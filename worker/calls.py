"""From what was decided to the market's calls, each planned in the outbox with the tasks it is for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chain.call import Call as MarketCall
from chain.market import Market
from protocol.domain import UNIT_WEI
from protocol.money import winner_units
from protocol.receipt import Receipt, ReceiptDocument, commitment
from worker.actions import Act, Action
from worker.artefacts import Call
from worker.database import Result
from worker.evidence import Evidence
from worker.outbox import Outbox
from worker.task import Task
from worker.view import View

# Limits above the measured cost (hardhat-local/snapshots); what is not used is not paid.
_GAS_FIXED = 120_000
_GAS_PER_TASK = {Call.CLAIM: 16_000, Call.POST: 15_000, Call.SETTLE: 25_000}
# Of a replicated task, beside it: a seat is more to write than a lease, and every winner is paid.
_GAS_PER_ROUND = {Call.CLAIM: 90_000, Call.SETTLE: 40_000}
_GAS_PER_SEAT = {Call.SETTLE: 40_000}
_GAS_ALONE = 900_000
# EIP-7825's limit of a transaction is 2**24.
_MOST_GAS = 15_000_000
_ALONE = {
    Act.RELEASE: Call.RELEASE,
    Act.COMMIT: Call.COMMIT,
    Act.OPEN_REVEAL: Call.OPEN_REVEAL,
    Act.REVEAL: Call.REVEAL,
    Act.CLOSE_ROUND: Call.CLOSE_ROUND,
    Act.TIMEOUT: Call.TIMEOUT,
    Act.EXPIRE: Call.EXPIRE,
}


@dataclass(slots=True)
class Calls:
    """`salt_of` gives a replica's salt for a task: it is the worker's key that makes it."""

    market: Market
    outbox: Outbox
    view: View
    evidence: Evidence
    salt_of: Callable[[bytes], bytes]
    batch_sizes: Mapping[Call, int]

    def plan(
        self, chosen: Mapping[Act, Sequence[Action]], results: Mapping[bytes, Result]
    ) -> Iterator[tuple[Call, Sequence[bytes]]]:
        """Plans everything but answers; gives each call with its tasks as soon as it is planned."""
        for act, call in ((Act.CLAIM, Call.CLAIM), (Act.POST, Call.POST), (Act.SETTLE, Call.SETTLE)):
            for ids in self._batches(call, chosen.get(act, ())):
                self._send(call, self._for_many(call, ids, results), ids, gas_limit=self._gas(call, ids))
                yield call, ids
        for act, call in _ALONE.items():
            for action in chosen.get(act, ()):
                market_call = self._alone(act, action.task_id, results)
                self._send(call, market_call, (action.task_id,), gas_limit=_GAS_ALONE)
                yield call, (action.task_id,)
        for action in chosen.get(Act.WITHDRAW, ()):
            if not self.outbox.under_way(Call.WITHDRAW):
                self.outbox.send(Call.WITHDRAW, self.market.withdraw(action.amount_units, self.view.me))

    def answer(self, task: Task, leaf: int) -> None:
        """Raises NothingToShow, StoreUnavailable."""
        shown = self.evidence.answer(task, leaf)
        self._send(Call.ANSWER, self.market.answer(task.id, leaf, shown), (task.id,), leaf=leaf)

    def _send(
        self,
        call: Call,
        market_call: MarketCall,
        ids: Sequence[bytes],
        *,
        gas_limit: int = 0,
        leaf: int | None = None,
    ) -> None:
        worth_wei = sum(self._worth_units(call, task_id) for task_id in ids) * UNIT_WEI
        # What gas is worth in a token, nobody here knows.
        worth_wei = worth_wei if self.market.deployment.currency.is_ether else 0
        self.outbox.send(call, market_call, ids, gas_limit=gas_limit, leaf=leaf, worth_wei=worth_wei)

    def _worth_units(self, call: Call, task_id: bytes) -> int:
        """The most the task can earn; and its bond, which is lost without the call once the task is claimed."""
        task = self.view.tasks[task_id]
        request = task.request
        income = winner_units(request.max_fee_units, task.tip_units, request.replicas)
        bond = request.bond_units * self.market.deployment.parameters.bond_unit_units
        return income if call is Call.CLAIM else income + bond

    def _for_many(self, call: Call, ids: Sequence[bytes], results: Mapping[bytes, Result]) -> MarketCall:
        if call is Call.CLAIM:
            return self.market.claim_many(ids)
        if call is Call.SETTLE:
            return self.market.settle_many(ids)
        posted = [results[task_id] for task_id in ids]
        return self.market.post_batch(
            [Receipt(each.task_id, each.body, each.output_tokens) for each in posted]
        )

    def _alone(self, act: Act, task_id: bytes, results: Mapping[bytes, Result]) -> MarketCall:
        market = self.market
        match act:
            case Act.COMMIT:
                result = results[task_id]
                hidden = commitment(result.body, result.output_tokens, self.salt_of(task_id))
                return market.commit(task_id, hidden)
            case Act.REVEAL:
                result = results[task_id]
                body = ReceiptDocument.decode(result.receipt).body
                return market.reveal(body, result.output_tokens, self.salt_of(task_id))
            case Act.OPEN_REVEAL:
                return market.open_reveal(task_id)
            case Act.CLOSE_ROUND:
                return market.close_round(task_id)
            case Act.TIMEOUT:
                return market.timeout(task_id)
            case Act.EXPIRE:
                return market.expire(task_id)
            case _:
                return market.release(task_id)

    def _batches(self, call: Call, actions: Sequence[Action]) -> Iterator[list[bytes]]:
        """As many as the settings and the gas of one transaction allow."""
        batch: list[bytes] = []
        gas = _GAS_FIXED
        for action in actions:
            more = self._gas_of(call, action.task_id)
            if batch and (len(batch) >= self.batch_sizes[call] or gas + more > _MOST_GAS):
                yield batch
                batch, gas = [], _GAS_FIXED
            batch.append(action.task_id)
            gas += more
        if batch:
            yield batch

    def _gas(self, call: Call, ids: Sequence[bytes]) -> int:
        return _GAS_FIXED + sum(self._gas_of(call, task_id) for task_id in ids)

    def _gas_of(self, call: Call, task_id: bytes) -> int:
        replicas = self.view.tasks[task_id].request.replicas
        alone = _GAS_PER_TASK[call]
        if replicas == 1:
            return alone
        return alone + _GAS_PER_ROUND.get(call, 0) + _GAS_PER_SEAT.get(call, 0) * replicas
