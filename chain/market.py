"""The deployed contracts: typed reads, and builders of calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from chain.bindings import InferenceMarketAbi, MarketLensAbi, ModelRegistryAbi
from chain.call import Call, call_object, estimate_gas, named_revert, simulate
from chain.deployment import Deployment
from chain.rpc import NodeError, Rpc
from protocol.abi import ZERO_ADDRESS, parse_address
from protocol.domain import UNIT_WEI
from protocol.lifecycle import Standing, TaskState
from protocol.receipt import Receipt
from protocol.request import Request, as_tuple


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the market stores it. `worker` is "" while there is none; `until` as in `TaskView`."""

    state: TaskState
    replicas: int
    worker: str
    until: int
    deadline: int
    lease_secs: int
    bond_units: int
    flat_percent: int
    priced_at: int
    max_output_tokens: int
    output_tokens: int
    requester: str
    max_fee_units: int
    tip_units: int


@dataclass(frozen=True, slots=True)
class Account:
    """UNITs; `index` is 0 for whoever never claimed."""

    free_units: int
    locked_units: int
    index: int


@dataclass(frozen=True, slots=True)
class Batch:
    """`worker` is "" for a root nobody posted."""

    worker: str
    posted_at: int


class Market:
    """Reads raise RpcUnavailable, NodeError or MarketRevert; builders touch no network."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self.domain = deployment.domain
        self._address = deployment.market

    # ---- reads

    def task(self, task_id: bytes) -> Task:
        """State NONE for an id never submitted."""
        return self.tasks([task_id])[0]

    def tasks(self, ids: Sequence[bytes]) -> list[Task]:
        """Many in one round trip."""
        calls = [self._call("taskOf", InferenceMarketAbi.encode_task_of(task_id)) for task_id in ids]
        return [_task(data) for data in self._read_many(calls)]

    def account(self, holder: str) -> Account:
        data = self._read("account", InferenceMarketAbi.encode_account(holder))
        free, locked, index = cast("tuple[int, int, int]", InferenceMarketAbi.decode_account(data))
        return Account(free, locked, index)

    def batch(self, root: bytes) -> Batch:
        data = self._read("batch", InferenceMarketAbi.encode_batch(root))
        worker, posted_at = cast("tuple[str, int]", InferenceMarketAbi.decode_batch(data))
        return Batch(_holder(worker), posted_at)

    def burned_units(self) -> int:
        return InferenceMarketAbi.decode_burned(self._read("burned", InferenceMarketAbi.encode_burned()))

    def balance_units(self) -> int:
        """The whole market's ether, in UNITs."""
        return self.rpc.balance_wei(self._address) // UNIT_WEI

    def standing(self, task_id: bytes) -> Standing:
        """The state with what time has done to it, judged by the chain's clock."""
        call = Call("standingOf", self.deployment.lens, MarketLensAbi.encode_standing_of(task_id))
        return Standing(MarketLensAbi.decode_standing_of(simulate(self.rpc, call)))

    def queue(self, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
        """Those of `ids` that can be claimed now with their priority (wei per million tokens), best first."""
        call = Call("queue", self.deployment.lens, MarketLensAbi.encode_queue(ids))
        ranked, priorities = MarketLensAbi.decode_queue(simulate(self.rpc, call))
        return list(zip(ranked, priorities, strict=True))

    def simulate(self, call: Call, sender: str) -> bytes:
        """What the call would return if mined now. Raises MarketRevert with the contract's error."""
        return simulate(self.rpc, call, sender)

    def estimate_gas(self, call: Call, sender: str) -> int:
        return estimate_gas(self.rpc, call, sender)

    # ---- money

    def deposit(self, beneficiary: str, amount_units: int) -> Call:
        data = InferenceMarketAbi.encode_deposit(beneficiary)
        return self._call("deposit", data, amount_units)

    def withdraw(self, amount_units: int, to: str) -> Call:
        return self._call("withdraw", InferenceMarketAbi.encode_withdraw(amount_units, to))

    # ---- asking

    def submit(self, request: Request, value_units: int = 0) -> Call:
        """`value_units` is credited to the sender first, so that one transaction can pay and ask."""
        return self._call("submit", InferenceMarketAbi.encode_submit(as_tuple(request)), value_units)

    def submit_many(self, requests: Sequence[Request], value_units: int = 0) -> Call:
        data = InferenceMarketAbi.encode_submit_many([as_tuple(request) for request in requests])
        return self._call("submitMany", data, value_units)

    def raise_tip(self, task_id: bytes, tip_units: int) -> Call:
        return self._call("raiseTip", InferenceMarketAbi.encode_raise_tip(task_id, tip_units))

    def cancel(self, task_id: bytes) -> Call:
        return self._call("cancel", InferenceMarketAbi.encode_cancel(task_id))

    # ---- working

    def claim_many(self, ids: Sequence[bytes]) -> Call:
        return self._call("claimMany", InferenceMarketAbi.encode_claim_many(ids))

    def release(self, task_id: bytes) -> Call:
        return self._call("release", InferenceMarketAbi.encode_release(task_id))

    def post_batch(self, receipts: Sequence[Receipt]) -> Call:
        items = [(receipt.task_id, receipt.body, receipt.output_tokens) for receipt in receipts]
        return self._call("postBatch", InferenceMarketAbi.encode_post_batch(items))

    # ---- ending

    def settle_many(self, ids: Sequence[bytes]) -> Call:
        return self._call("settleMany", InferenceMarketAbi.encode_settle_many(ids))

    def expire(self, task_id: bytes) -> Call:
        return self._call("expire", InferenceMarketAbi.encode_expire(task_id))

    # ---- announcing

    def announce(self, model_id: bytes, uri: str) -> Call:
        return Call("announce", self.deployment.registry, ModelRegistryAbi.encode_announce(model_id, uri))

    def announce_store(self, uri: str) -> Call:
        return Call("announceStore", self.deployment.registry, ModelRegistryAbi.encode_announce_store(uri))

    def _call(self, name: str, data: bytes, value_units: int = 0) -> Call:
        return Call(name, self._address, data, value_units * UNIT_WEI)

    def _read(self, name: str, data: bytes) -> bytes:
        return simulate(self.rpc, self._call(name, data))

    def _read_many(self, calls: Sequence[Call]) -> list[bytes]:
        answers = self.rpc.batch([("eth_call", [call_object(call), "latest"]) for call in calls])
        found = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, NodeError):
                raise named_revert(call, answer)
            found.append(bytes.fromhex(str(answer)[2:]))
        return found


def _task(data: bytes) -> Task:
    state, replicas, worker, *rest = InferenceMarketAbi.decode_task_of(data)
    until, deadline, lease_secs, bond_units, flat_percent, priced_at, most, tokens = cast(
        "list[int]", rest[:8]
    )
    requester, max_fee_units, tip_units = cast("tuple[str, int, int]", tuple(rest[8:]))
    return Task(
        state=TaskState(cast("int", state)),
        replicas=cast("int", replicas),
        worker=_holder(cast("str", worker)),
        until=until,
        deadline=deadline,
        lease_secs=lease_secs,
        bond_units=bond_units,
        flat_percent=flat_percent,
        priced_at=priced_at,
        max_output_tokens=most,
        output_tokens=tokens,
        requester=parse_address("requester", requester),
        max_fee_units=max_fee_units,
        tip_units=tip_units,
    )


def _holder(address: str) -> str:
    """The ABI coder gives lower case; "" stands for nobody."""
    return "" if address == ZERO_ADDRESS else parse_address("worker", address)
