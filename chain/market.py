"""The deployed contracts: typed reads, and builders of calls."""

from collections.abc import Sequence

from chain.bindings import InferenceMarketAbi, MarketLensAbi, ModelRegistryAbi
from chain.call import Call, call_object, estimate_gas, named_revert, simulate
from chain.deployment import Deployment
from chain.rpc import NodeError, Rpc
from chain.stored import (
    Account,
    Batch,
    Demand,
    Dispute,
    Round,
    Task,
    Waiting,
    read_account,
    read_batch,
    read_demand,
    read_dispute,
    read_round,
    read_task,
    read_waiting,
)
from chain.token import Token
from chain.words import Struct
from protocol.abi import ZERO_ADDRESS
from protocol.domain import UNIT_WEI
from protocol.evidence import Answer
from protocol.receipt import Body, Receipt, body_tuple
from protocol.request import REPLICAS, Request, as_tuple
from protocol.states import Standing


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
        return [read_task(data) for data in self._read_many(calls)]

    def round(self, task_id: bytes) -> Round:
        """The seats of a replicated task, in one round trip."""
        task, stored, *seats = self._read_many(
            [
                self._call("taskOf", InferenceMarketAbi.encode_task_of(task_id)),
                self._call("roundOf", InferenceMarketAbi.encode_round_of(task_id)),
                *(
                    self._call("seatOf", InferenceMarketAbi.encode_seat_of(task_id, place))
                    for place in range(max(REPLICAS))
                ),
            ]
        )
        replicas = read_task(task).replicas
        return read_round(stored, seats[:replicas] if replicas > 1 else [])

    def open_demand(self, task_id: bytes, leaf: int) -> Demand:
        """Whoever demanded the leaf, and until when an answer is due."""
        return read_demand(self._read("demandOf", InferenceMarketAbi.encode_demand_of(task_id, leaf)))

    def dispute(self, task_id: bytes) -> Dispute:
        return read_dispute(self._read("disputeOf", InferenceMarketAbi.encode_dispute_of(task_id)))

    def account(self, holder: str) -> Account:
        return read_account(self._read("account", InferenceMarketAbi.encode_account(holder)))

    def batch(self, root: bytes) -> Batch:
        return read_batch(self._read("batch", InferenceMarketAbi.encode_batch(root)))

    def burned_units(self) -> int:
        return InferenceMarketAbi.decode_burned(self._read("burned", InferenceMarketAbi.encode_burned()))

    def balance_units(self) -> int:
        """All the market has of its currency, in whole UNITs."""
        token = self.deployment.parameters.token
        if token == ZERO_ADDRESS:
            return self.rpc.balance_wei(self._address) // UNIT_WEI
        return Token(self.rpc, token).balance_of(self._address) // self.deployment.currency.unit

    def standing(self, task_id: bytes) -> Standing:
        """The state with what time has done to it, judged by the chain's clock."""
        data = self._ask_lens("standingOf", MarketLensAbi.encode_standing_of(task_id))
        return Standing(MarketLensAbi.decode_standing_of(data))

    def waiting(self, ids: Sequence[bytes]) -> list[Waiting]:
        """What each of `ids` holds of other people's money, why, and until when."""
        return read_waiting(self._ask_lens("waiting", MarketLensAbi.encode_waiting(ids)))

    def priority(self, task_id: bytes) -> int:
        """Wei per million output tokens, at the chain's present second."""
        data = self._ask_lens("priorityOf", MarketLensAbi.encode_priority_of(task_id))
        return MarketLensAbi.decode_priority_of(data)

    def queue(self, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
        """Those of `ids` that can be claimed now with their priority (wei per million tokens), best first."""
        data = self._ask_lens("queue", MarketLensAbi.encode_queue(ids))
        ranked, priorities = MarketLensAbi.decode_queue(data)
        return list(zip(ranked, priorities, strict=True))

    def simulate(self, call: Call, sender: str) -> bytes:
        """What the call would return if mined now. Raises MarketRevert with the contract's error."""
        return simulate(self.rpc, call, sender)

    def estimate_gas(self, call: Call, sender: str) -> int:
        return estimate_gas(self.rpc, call, sender)

    # ---- money

    def deposit(self, beneficiary: str, amount_units: int) -> Call:
        """Of ether with the call, of a token by an allowance that the sender has given the market."""
        if self.deployment.parameters.token == ZERO_ADDRESS:
            data = InferenceMarketAbi.encode_deposit(beneficiary)
            return self._call("deposit", data, amount_units)
        data = InferenceMarketAbi.encode_deposit_token(beneficiary, amount_units)
        return self._call("depositToken", data)

    def deposit_with_permit(
        self, beneficiary: str, amount_units: int, deadline: int, v: int, r: bytes, s: bytes
    ) -> Call:
        """`v`, `r`, `s`: the sender's signature of `protocol.permit.permit_digest`."""
        data = InferenceMarketAbi.encode_deposit_with_permit(beneficiary, amount_units, deadline, v, r, s)
        return self._call("depositWithPermit", data)

    def withdraw(self, amount_units: int, to: str) -> Call:
        return self._call("withdraw", InferenceMarketAbi.encode_withdraw(amount_units, to))

    # ---- asking

    def submit(self, request: Request, value_units: int = 0) -> Call:
        """`value_units` is credited to the sender first, so that one transaction can pay and ask."""
        return self._call("submit", InferenceMarketAbi.encode_submit(as_tuple(request)), value_units)

    def submit_many(self, requests: Sequence[Request], value_units: int = 0) -> Call:
        data = InferenceMarketAbi.encode_submit_many([as_tuple(request) for request in requests])
        return self._call("submitMany", data, value_units)

    def submit_by_sig(self, request: Request, signature: bytes) -> Call:
        """For whoever relays; the requester's free balance pays. `signature` is of the task's id."""
        data = InferenceMarketAbi.encode_submit_by_sig(as_tuple(request), signature)
        return self._call("submitBySig", data)

    def submit_many_by_sig(self, requests: Sequence[Request], signatures: Sequence[bytes]) -> Call:
        tuples = [as_tuple(request) for request in requests]
        data = InferenceMarketAbi.encode_submit_many_by_sig(tuples, signatures)
        return self._call("submitManyBySig", data)

    def revoke(self, request: Request) -> Call:
        """A request that was signed but not sent will never open a task."""
        return self._call("revoke", InferenceMarketAbi.encode_revoke(as_tuple(request)))

    def raise_tip(self, task_id: bytes, tip_units: int) -> Call:
        return self._call("raiseTip", InferenceMarketAbi.encode_raise_tip(task_id, tip_units))

    def cancel(self, task_id: bytes) -> Call:
        return self._call("cancel", InferenceMarketAbi.encode_cancel(task_id))

    def cancel_by_sig(self, task_id: bytes, signature: bytes) -> Call:
        """`signature` is of `protocol.request.cancel_digest`."""
        return self._call("cancelBySig", InferenceMarketAbi.encode_cancel_by_sig(task_id, signature))

    # ---- working

    def claim_many(self, ids: Sequence[bytes]) -> Call:
        return self._call("claimMany", InferenceMarketAbi.encode_claim_many(ids))

    def release(self, task_id: bytes) -> Call:
        return self._call("release", InferenceMarketAbi.encode_release(task_id))

    def post_batch(self, receipts: Sequence[Receipt]) -> Call:
        items = [(receipt.task_id, receipt.body, receipt.output_tokens) for receipt in receipts]
        return self._call("postBatch", InferenceMarketAbi.encode_post_batch(items))

    # ---- replicas

    def commit(self, task_id: bytes, commitment: bytes) -> Call:
        return self._call("commit", InferenceMarketAbi.encode_commit(task_id, commitment))

    def open_reveal(self, task_id: bytes) -> Call:
        return self._call("openReveal", InferenceMarketAbi.encode_open_reveal(task_id))

    def reveal(self, body: Body, output_tokens: int, salt: bytes) -> Call:
        data = InferenceMarketAbi.encode_reveal(body_tuple(body), output_tokens, salt)
        return self._call("reveal", data)

    def close_round(self, task_id: bytes) -> Call:
        return self._call("closeRound", InferenceMarketAbi.encode_close_round(task_id))

    # ---- disputes

    def demand(self, task_id: bytes, leaf: int, value_units: int = 0) -> Call:
        """`value_units` is credited to the sender first."""
        return self._call("demand", InferenceMarketAbi.encode_demand(task_id, leaf), value_units)

    def answer(self, task_id: bytes, leaf: int, answer: Answer) -> Call:
        evidence: Struct = (body_tuple(answer.body), answer.batch_path, answer.tokens, answer.leaf_path)
        return self._call("answer", InferenceMarketAbi.encode_answer(task_id, leaf, evidence))

    def lapse_demand(self, task_id: bytes, leaf: int) -> Call:
        return self._call("lapseDemand", InferenceMarketAbi.encode_lapse_demand(task_id, leaf))

    def close_demand(self, task_id: bytes, leaf: int) -> Call:
        return self._call("closeDemand", InferenceMarketAbi.encode_close_demand(task_id, leaf))

    def challenge(self, task_id: bytes, value_units: int = 0) -> Call:
        """`value_units` is credited to the sender first."""
        return self._call("challenge", InferenceMarketAbi.encode_challenge(task_id), value_units)

    def rule(self, task_id: bytes, *, faulty: bool) -> Call:
        """For an arbiter that is a key; a panel's is `Panel.rule`."""
        return self._call("rule", InferenceMarketAbi.encode_rule(task_id, faulty))

    def timeout(self, task_id: bytes) -> Call:
        return self._call("timeout", InferenceMarketAbi.encode_timeout(task_id))

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

    # ---- inversions

    def record_skip(self, taken: Request, skipped: Request, worker: str) -> Call:
        """Proves on chain that `worker`, whose lease of `taken` runs, passed over `skipped`."""
        data = MarketLensAbi.encode_record_skip(as_tuple(taken), as_tuple(skipped), worker)
        return Call("recordSkip", self.deployment.lens, data)

    def _call(self, name: str, data: bytes, value_units: int = 0) -> Call:
        return Call(name, self._address, data, value_units * UNIT_WEI)

    def _read(self, name: str, data: bytes) -> bytes:
        return simulate(self.rpc, self._call(name, data))

    def _ask_lens(self, name: str, data: bytes) -> bytes:
        return simulate(self.rpc, Call(name, self.deployment.lens, data))

    def _read_many(self, calls: Sequence[Call]) -> list[bytes]:
        answers = self.rpc.batch([("eth_call", [call_object(call), "latest"]) for call in calls])
        found = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, NodeError):
                raise named_revert(call, answer)
            found.append(bytes.fromhex(str(answer)[2:]))
        return found


__all__ = ["Account", "Batch", "Demand", "Dispute", "Market", "Round", "Task", "Waiting"]
