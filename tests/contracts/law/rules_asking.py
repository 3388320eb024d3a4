"""What requesters do, by themselves or through whoever carries their signature."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from protocol.request import Request, as_tuple
from tests.contracts.law import forms
from tests.contracts.law.asking import Order
from tests.contracts.law.book import State
from tests.contracts.law.machine import ACTOR, OTHER, PICK, SEED, MarketMachine

SIGNATURE = st.integers(0, 7)
_CURVE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class AskingRules(MarketMachine):
    """submit in its four forms, revoke, raiseTip, cancel in its two forms."""

    @rule(who=ACTOR, seed=SEED, is_other=OTHER, value=st.integers(0, 6))
    def submit(self, who: int, seed: int, is_other: bool, value: int) -> None:
        caller = self.actor(who)
        asked = self._request(self.actor(who + 1) if is_other else caller, seed)
        order = forms.order(self.world.domain, asked, is_vouched=asked.requester == caller)
        wei = self._value(value)
        self.world.do(
            "submit",
            caller,
            (as_tuple(asked),),
            lambda: self.book.submit(order, wei, "NotRequester"),
            wei,
        )
        self._note(order, asked)

    @rule(who=ACTOR, seed=SEED, value=st.integers(0, 6))
    def submit_many(self, who: int, seed: int, value: int) -> None:
        caller, wei = self.actor(who), self._value(value)
        asked = [
            self._request(self.actor(who + (seed + k) % 13 // 12), seed + k % 3) for k in range(1 + seed % 5)
        ]
        orders = [forms.order(self.world.domain, one, is_vouched=one.requester == caller) for one in asked]
        outcome, expected = self.world.do(
            "submitMany",
            caller,
            ([as_tuple(one) for one in asked],),
            lambda: self.book.submit_many(caller, orders, wei, "NotRequester"),
            wei,
        )
        self.compare_skips(outcome, expected)
        for order, one in zip(orders, asked, strict=True):
            self._note(order, one)

    @rule(relayer=ACTOR, who=ACTOR, seed=SEED, kind=SIGNATURE)
    def submit_by_sig(self, relayer: int, who: int, seed: int, kind: int) -> None:
        asked = self._request(self.actor(who), seed)
        signature, order = self._signed(asked, kind)
        self.world.do(
            "submitBySig",
            self.actor(relayer),
            (as_tuple(asked), signature),
            lambda: self.book.submit(order, 0, "BadSignature"),
        )
        self._note(order, asked)

    @rule(relayer=ACTOR, who=ACTOR, seed=SEED, kind=SIGNATURE)
    def submit_many_by_sig(self, relayer: int, who: int, seed: int, kind: int) -> None:
        asked = [self._request(self.actor(who + k), seed + k) for k in range(1 + seed % 3)]
        signed = [self._signed(one, kind if k == 1 else 0) for k, one in enumerate(asked)]
        caller = self.actor(relayer)
        outcome, expected = self.world.do(
            "submitManyBySig",
            caller,
            ([as_tuple(one) for one in asked], [signature for signature, _ in signed]),
            lambda: self.book.submit_many(caller, [order for _, order in signed], 0, "BadSignature"),
        )
        self.compare_skips(outcome, expected)
        for (_, order), one in zip(signed, asked, strict=True):
            self._note(order, one)

    @rule(who=ACTOR, seed=SEED, is_known=st.booleans(), is_other=OTHER)
    def revoke(self, who: int, seed: int, is_known: bool, is_other: bool) -> None:
        asked = self.requests.get(self.pick(seed, State.OPEN)) if is_known else None
        asked = asked or self._request(self.actor(who), seed)
        order = forms.order(self.world.domain, asked, is_vouched=True)
        caller = self.actor(who) if is_other else asked.requester
        self.world.do("revoke", caller, (as_tuple(asked),), lambda: self.book.revoke(caller, order))
        self.requests.setdefault(order.task_id, asked)
        self.world.touch(order.task_id)

    @rule(pick=PICK, by=st.integers(0, 900), who=ACTOR, is_other=OTHER)
    def raise_tip(self, pick: int, by: int, who: int, is_other: bool) -> None:
        task_id = self.pick(pick, State.OPEN)
        task = self.book.task(task_id)
        caller = task.terms.requester if task and not is_other else self.actor(who)
        tip = (task.tip if task else 0) + by
        self.world.do("raiseTip", caller, (task_id, tip), lambda: self.book.raise_tip(caller, task_id, tip))
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, is_other=OTHER, state=st.sampled_from((State.OPEN, State.LEASED)))
    def cancel(self, pick: int, who: int, is_other: bool, state: State) -> None:
        task_id = self.pick(pick, state)
        task = self.book.task(task_id)
        caller = task.terms.requester if task and not is_other else self.actor(who)
        self.world.do(
            "cancel",
            caller,
            (task_id,),
            lambda: self.book.cancel(task_id, self.why_not_requester(task_id, caller)),
        )
        self.world.touch(task_id)

    @rule(pick=PICK, relayer=ACTOR, kind=SIGNATURE, state=st.sampled_from((State.OPEN, State.LEASED)))
    def cancel_by_sig(self, pick: int, relayer: int, kind: int, state: State) -> None:
        task_id = self.pick(pick, state)
        task = self.book.task(task_id)
        requester = task.terms.requester if task else self.actor(0)
        signature, is_good = self._signature(requester, forms.cancel_digest(self.world.domain, task_id), kind)
        why = [] if is_good else ["BadSignature"]
        self.world.do(
            "cancelBySig", self.actor(relayer), (task_id, signature), lambda: self.book.cancel(task_id, why)
        )
        self.world.touch(task_id)

    # ------------------------------------------------------------------------------------------------- parts

    def _request(self, requester: str, seed: int) -> Request:
        return forms.request(requester, self.world.machine.now, seed)

    def _value(self, kind: int) -> int:
        """Nothing, some UNITs, or an amount that is none; on a market of tokens seldom anything."""
        unit = self.world.law.unit
        amounts = {2: 1} if self.world.token else {1: 4000 * unit, 2: 1, 3: unit}
        return amounts.get(kind, 0)

    def _note(self, order: Order, asked: Request) -> None:
        if self.book.task(order.task_id) is not None:
            self.requests.setdefault(order.task_id, asked)
        self.world.touch(order.task_id)

    def _signed(self, asked: Request, kind: int) -> tuple[bytes, Order]:
        task_id = forms.order(self.world.domain, asked, is_vouched=False).task_id
        signature, is_good = self._signature(asked.requester, task_id, kind)
        return signature, forms.order(self.world.domain, asked, is_vouched=is_good)

    def _signature(self, signer: str, digest: bytes, kind: int) -> tuple[bytes, bool]:
        """A signature, good in most kinds, and whether the market must take it."""
        by_code = False
        if signer in self.world.coded:
            if kind not in (1, 2, 3, 4):
                self.world.tell(signer, self.world.wallet_abi.data("sign", digest))
            mode = self.mode_of(signer)
            said = self.world.machine.view(signer, self.world.wallet_abi.data("signed", digest))
            by_code = mode == "Endless" or (mode in ("Honest", "Refusing") and any(said))
        keys = {self.actor(number): key for number, key in enumerate(self.world.keys)}
        if signer not in keys:
            return b"by code", by_code
        if kind == 1:
            return forms.sign(bytes(31) + b"\x63", digest), by_code
        if kind == 2:
            return bytes(65), by_code
        if kind == 3:
            return b"", by_code
        good = forms.sign(keys[signer], digest)
        if kind == 4:
            mirrored = _CURVE - int.from_bytes(good[32:64], "big")
            return good[:32] + mirrored.to_bytes(32, "big") + bytes([55 - good[64]]), by_code
        return good, True
