"""Sends transactions of one key so that none is lost or sent twice, whatever dies in between."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress

from chain.bindings import ERRORS
from chain.call import Call, call_object, simulate
from chain.events import decode_logs
from chain.gas import gas_limits
from chain.journal import Intent, IntentState, Journal, MemoryJournal, TxReceipt
from chain.look import Look, read_chain
from chain.nonces import STRANGE_SECS, Nonces
from chain.refusals import is_final, lacks_funds, taken
from chain.revert import decode_revert
from chain.rpc import NodeError, Rpc, RpcUnavailable
from protocol.domain import UNIT_WEI
from protocol.errors import BadInput, NotYet, QuernError

# A node takes a replacement only if both fees grew by an eighth.
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
_POLL_SECS = 0.05
_TRANSFER_GAS = 21_000


class NotEnoughEther(BadInput):
    """The key's balance does not cover value and gas."""

    def __init__(self, address: str, balance_wei: int, needed_wei: int) -> None:
        self.balance_wei, self.needed_wei = balance_wei, needed_wei
        fix = f"it holds {balance_wei} wei and {needed_wei} are needed for value and gas; send it ether"
        super().__init__("SENDER-003", "balance", address, fix)


class NotMined(NotYet):
    """Sent, and not mined within the time given; it may still be."""

    def __init__(self, name: str, tx_hash: bytes | None, waited_secs: float) -> None:
        fix = f"not mined within {waited_secs:.0f} s and may still be; look at it again before sending anew"
        super().__init__("SENDER-004", name, tx_hash or b"", fix)


class TransactionReverted(BadInput):
    """Mined without effect: the state it counted on had changed before."""

    def __init__(self, name: str, tx_hash: bytes, reason: str) -> None:
        super().__init__(
            "SENDER-005", name, tx_hash, f"mined but reverted ({reason}); look at the state and decide again"
        )


class TransactionDropped(BadInput):
    """Never took effect, and never will."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__("SENDER-006", name, reason, "decide again from the chain's state")


@dataclass(frozen=True, slots=True)
class SenderPolicy:
    """`max_fee_wei` caps the price of gas; `confirmations` is how many blocks must follow before an outcome counts."""

    confirmations: int = 0
    replace_after_secs: float = 30.0
    resend_after_secs: float = 5.0
    max_fee_wei: int = 1_000 * UNIT_WEI


class Sender:
    """All transactions of `account` must go through one sender.

    `plan` writes down what to do, `pump` does whatever is due and reads what became of it. Both may be called again
    after any failure: what was signed is stored before it is sent, and the same bytes are sent again.
    """

    def __init__(
        self,
        rpc: Rpc,
        account: LocalAccount,
        journal: Journal | None = None,
        policy: SenderPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rpc = rpc
        self._account = account
        self._journal = MemoryJournal() if journal is None else journal
        self._policy = policy or SenderPolicy()
        self._clock = clock
        self._chain_id: int | None = None
        self._missing_since: dict[str, float] = {}
        self._nonces = Nonces(clock)
        # Kept until a step succeeds, so that a failure after reading an outcome does not swallow it.
        self._ended: list[Intent] = []

    @property
    def address(self) -> str:
        return str(self._account.address)

    def plan(
        self, key: str, call: Call, gas_limit: int = 0, *, simulate: bool = True, worth_wei: int = 0
    ) -> Intent:
        """Notes the call; a `key` noted before keeps what it was noted with, so a caller may plan again after a crash.

        Without `gas_limit` it is estimated. Without `simulate` it is sent even if it would revert now, as when it
        counts on one planned before it; then give the limit. A replacement bids no more than `worth_wei` for all its
        gas, if that is given.
        """
        found = self._journal.get(key)
        if found is not None:
            return found
        intent = Intent(key, call, gas_limit=gas_limit, simulate=simulate, worth_wei=worth_wei)
        self._journal.put(intent)
        return intent

    def intent(self, key: str) -> Intent | None:
        return self._journal.get(key)

    def pump(self) -> list[Intent]:
        """One step for everything on its way; returns the intents that ended in it.

        Raises RpcUnavailable, NotEnoughEther, NodeError; calling again continues.
        """
        live = self._journal.live()
        if live:
            look = read_chain(self._rpc, self.address, live)
            self._note(seen for intent in live if (seen := self._observe(intent, look)) is not intent)
            self._fill_gap(look)
            shortage = self._sign_planned(look) if self._nonces.steady(look.nonce) else None
            self._send_signed()
            if shortage is not None:
                raise shortage
        ended, self._ended = self._ended, []
        return ended

    def send_and_wait(self, call: Call, gas_limit: int = 0, timeout_secs: float = 120.0) -> TxReceipt:
        """Sends one call and waits for it; the receipt holds its events.

        Raises MarketRevert if it would revert now (nothing is sent), NotMined, TransactionReverted,
        TransactionDropped, NotEnoughEther, RpcUnavailable.
        """
        simulate(self._rpc, call, self.address)
        return self.send_many([call], gas_limit, timeout_secs)[0]

    def send_many(
        self, calls: Sequence[Call], gas_limit: int = 0, timeout_secs: float = 120.0
    ) -> list[TxReceipt]:
        """Sends calls back to back and waits for all. With a `gas_limit` they may build on each other.

        Raises as `send_and_wait` does, but a call that would revert as TransactionDropped.
        """
        keys = [f"wait-{uuid.uuid4().hex}" for _ in calls]
        for key, call in zip(keys, calls, strict=True):
            self.plan(key, call, gas_limit, simulate=not gas_limit)
        give_up = time.monotonic() + timeout_secs
        while True:
            try:
                self.pump()
            except RpcUnavailable:
                if time.monotonic() > give_up:
                    raise
            except NotEnoughEther:
                self._forget(keys)
                raise
            intents = [intent for key in keys if (intent := self._journal.get(key)) is not None]
            waiting = next((intent for intent in intents if not intent.ended), None)
            if waiting is None:
                return [self._outcome(intent) for intent in intents]
            if time.monotonic() > give_up:
                raise NotMined(
                    waiting.call.name, waiting.hashes[-1] if waiting.hashes else None, timeout_secs
                )
            time.sleep(_POLL_SECS)

    def _forget(self, keys: Sequence[str]) -> None:
        """Calls never signed shall not go out with a later one, when there is ether again."""
        self._journal.put(
            *(
                replace(intent, state=IntentState.DROPPED, reason="not enough ether")
                for intent in self._journal.live()
                if intent.key in keys and intent.state is IntentState.PLANNED
            )
        )

    # ---- reading what became of things

    def _observe(self, intent: Intent, look: Look) -> Intent:
        """The intent after what was seen; the same object where that changes nothing."""
        if intent.state is IntentState.PLANNED:
            return intent
        receipt = next((look.receipts[item] for item in intent.hashes if item in look.receipts), None)
        if receipt is not None:
            self._missing_since.pop(intent.key, None)
            deep = look.head.number - receipt.block_number >= self._policy.confirmations
            state = IntentState.CONFIRMED if deep else IntentState.MINED
            if (intent.state, intent.receipt) != (state, receipt):
                intent = replace(intent, state=state, receipt=receipt)
            return intent
        if look.nonce > intent.nonce:
            return self._missing(intent)
        if intent.state is IntentState.MINED:
            # Mined on a chain that is no longer the chain: the same bytes go out again.
            return replace(intent, state=IntentState.SIGNED, receipt=None)
        waited = self._clock() - intent.sent_at
        if intent.state is IntentState.SENT and waited > self._policy.replace_after_secs:
            return self._replace(intent, look)
        if intent.state is IntentState.SENT and waited > self._policy.resend_after_secs:
            return replace(intent, state=IntentState.SIGNED)
        return intent

    def _missing(self, intent: Intent) -> Intent:
        """The nonce is used and no version of ours has a receipt. A node may lag, so it must stay so for a while."""
        since = self._missing_since.setdefault(intent.key, self._clock())
        if self._clock() - since < STRANGE_SECS:
            return intent
        del self._missing_since[intent.key]
        reason = f"nonce {intent.nonce} was used by another transaction of this key"
        return replace(intent, state=IntentState.DROPPED, reason=reason)

    def _outcome(self, intent: Intent) -> TxReceipt:
        receipt = intent.receipt
        if receipt is None:
            raise TransactionDropped(intent.call.name, intent.reason)
        if not receipt.success:
            raise TransactionReverted(
                intent.call.name, receipt.tx_hash, self._why_reverted(intent.call, receipt)
            )
        found = self._rpc.call("eth_getTransactionReceipt", "0x" + receipt.tx_hash.hex())
        logs = found.get("logs") if isinstance(found, dict) else None
        return replace(receipt, events=decode_logs(self._rpc, logs if isinstance(logs, list) else []))

    def _why_reverted(self, call: Call, receipt: TxReceipt) -> str:
        """The error the call gives on the state after its block; a guess where the state moved on within it."""
        try:
            self._rpc.call("eth_call", call_object(call, self.address), hex(receipt.block_number))
        except NodeError as error:
            return decode_revert(call.name, error.data, ERRORS).said if error.data else error.message
        except RpcUnavailable:
            pass
        return "the reason is no longer visible"

    # ---- signing and sending

    def _fill_gap(self, look: Look) -> None:
        """A transfer of nothing to ourselves lets the later ones be mined, where nothing is planned that would."""
        live = self._journal.live()
        waiting = [intent.nonce for intent in live if intent.state is not IntentState.PLANNED]
        nonce = self._nonces.gap(look.nonce, waiting)
        if nonce is not None and len(waiting) == len(live):
            filler = Call(f"fill nonce {nonce}", self.address, b"")
            self.plan(f"gap-{nonce}-{uuid.uuid4().hex}", filler, _TRANSFER_GAS, simulate=False)

    def _sign_planned(self, look: Look) -> NotEnoughEther | None:
        """Gives nonces, limits and fees; drops what would revert; stops where the balance ends."""
        live = self._journal.live()
        planned = [intent for intent in live if intent.state is IntentState.PLANNED]
        if not planned:
            return None
        taken = {intent.nonce for intent in live}
        committed_wei = sum(_most_wei(intent) for intent in live if intent.nonce >= look.nonce)
        nonce = look.nonce
        shortage: NotEnoughEther | None = None
        done: list[Intent] = []
        for intent, gas_limit in zip(planned, gas_limits(self._rpc, self.address, planned), strict=True):
            if isinstance(gas_limit, str):
                done.append(replace(intent, state=IntentState.DROPPED, reason=gas_limit))
                continue
            while nonce in taken:
                nonce += 1
            priced = replace(
                intent,
                nonce=nonce,
                gas_limit=gas_limit,
                priority_fee_wei=min(look.priority_fee_wei, self._policy.max_fee_wei),
                max_fee_wei=min(2 * look.head.base_fee_wei + look.priority_fee_wei, self._policy.max_fee_wei),
            )
            committed_wei += _most_wei(priced)
            if committed_wei > look.balance_wei:
                shortage = NotEnoughEther(self.address, look.balance_wei, committed_wei)
                break
            taken.add(nonce)
            done.append(self._signed(priced))
        self._note(done)
        return shortage

    def _replace(self, intent: Intent, look: Look) -> Intent:
        """The same nonce at a better price; where that is more than policy or worth allow, the same bytes again."""
        bumped, cap = intent.max_fee_wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR + 1, self._policy.max_fee_wei
        if intent.worth_wei:
            cap = min(cap, intent.worth_wei // intent.gas_limit)
        if bumped > cap:
            return replace(intent, state=IntentState.SIGNED)
        max_fee_wei = min(cap, max(bumped, 2 * look.head.base_fee_wei + look.priority_fee_wei))
        priority_fee_wei = intent.priority_fee_wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR + 1
        return self._signed(
            replace(intent, max_fee_wei=max_fee_wei, priority_fee_wei=min(priority_fee_wei, max_fee_wei))
        )

    def _signed(self, intent: Intent) -> Intent:
        if self._chain_id is None:
            self._chain_id = self._rpc.chain_id()
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": intent.nonce,
                "to": cast("ChecksumAddress", intent.call.to),
                "data": intent.call.data,
                "value": intent.call.value_wei,
                "gas": intent.gas_limit,
                "maxFeePerGas": intent.max_fee_wei,
                "maxPriorityFeePerGas": intent.priority_fee_wei,
            }
        )
        return replace(
            intent,
            state=IntentState.SIGNED,
            raw=bytes(signed.raw_transaction),
            hashes=(*intent.hashes, bytes(signed.hash)),
        )

    def _send_signed(self) -> None:
        ready = [intent for intent in self._journal.live() if intent.state is IntentState.SIGNED]
        ready.sort(key=lambda intent: intent.nonce)
        answers = self._rpc.batch([("eth_sendRawTransaction", ["0x" + intent.raw.hex()]) for intent in ready])
        refusal: QuernError | None = None
        heard: list[Intent] = []
        for intent, answer in zip(ready, answers, strict=True):
            if isinstance(answer, NodeError) and lacks_funds(answer):
                refusal = answer
            elif isinstance(answer, NodeError) and not taken(answer):
                if _never_taken(intent) and is_final(answer):
                    # Its nonce is free again and goes to the next.
                    reason = f"the node refuses it: {answer.message}"
                    heard.append(replace(intent, state=IntentState.DROPPED, reason=reason))
            else:
                heard.append(replace(intent, state=IntentState.SENT, sent_at=self._clock()))
        self._note(heard)
        if refusal is not None:
            raise refusal

    def _note(self, changed: Iterable[Intent]) -> None:
        """Durable before anything rests on it."""
        changed = tuple(changed)
        self._journal.put(*changed)
        self._ended += [intent for intent in changed if intent.ended]


def _never_taken(intent: Intent) -> bool:
    """Whether no node has ever taken a version of it."""
    return len(intent.hashes) == 1 and not intent.sent_at


def _most_wei(intent: Intent) -> int:
    """The most a transaction can take from the balance."""
    return intent.gas_limit * intent.max_fee_wei + intent.call.value_wei
