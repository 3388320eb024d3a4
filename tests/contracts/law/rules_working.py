"""What workers do: claim, release, post, commit, reveal; and what ends their tasks."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from protocol.merkle import batch_root, proof
from protocol.receipt import Receipt, body_tuple, leaf
from protocol.request import as_tuple
from tests.contracts.law import forms
from tests.contracts.law.book import SeatState, State
from tests.contracts.law.forms import Work
from tests.contracts.law.machine import ACTOR, OTHER, PICK, SEED, MarketMachine
from tests.contracts.law.replicas import Showing
from tests.contracts.law.working import Posting

# Of several seeds for one task, most are the first: replicas that agree.
VARIANT = st.sampled_from((0, 0, 0, 0, 1, 5, 6, 7))
# A commitment that is somebody else's verdict as it stands.
COPIED = 3


class WorkingRules(MarketMachine):
    """The life of leases, posts and rounds."""

    @rule(who=ACTOR, seed=SEED, state=st.sampled_from((State.OPEN, State.LEASED)))
    def claim_many(self, who: int, seed: int, state: State) -> None:
        self._claim(self.actor(who), self.picks(seed, state))

    @rule(pick=PICK, who=ACTOR, is_other=OTHER)
    def release(self, pick: int, who: int, is_other: bool) -> None:
        task_id = self.pick(pick, State.LEASED)
        caller = self.actor(who) if is_other else self._seated(task_id, pick, SeatState.LEASED)
        self.world.do("release", caller, (task_id,), lambda: self.book.release(caller, task_id))
        self.world.touch(task_id)

    @rule(seed=SEED, who=ACTOR, is_other=OTHER, variant=VARIANT)
    def post_batch(self, seed: int, who: int, is_other: bool, variant: int) -> None:
        ids = self.picks(seed, State.LEASED, replicated=False)
        caller = self.actor(who) if is_other else self._seated(ids[0], seed, SeatState.LEASED)
        self._post(caller, ids, variant)

    @rule(pick=PICK, who=ACTOR, is_other=OTHER, variant=VARIANT | st.just(COPIED))
    def commit(self, pick: int, who: int, is_other: bool, variant: int) -> None:
        task_id = self.pick(pick, State.LEASED, replicated=True)
        caller = self.actor(who) if is_other else self._seated(task_id, pick, SeatState.LEASED)
        self._commit(caller, task_id, variant)

    @rule(pick=PICK)
    def open_reveal(self, pick: int) -> None:
        task_id = self.pick(pick, State.LEASED, replicated=True)
        self.world.do("openReveal", self.world.stranger, (task_id,), lambda: self.book.open_reveal(task_id))
        self.world.touch(task_id)

    @rule(pick=PICK, who=ACTOR, is_other=OTHER)
    def reveal(self, pick: int, who: int, is_other: bool) -> None:
        task_id = self.pick(pick, State.LEASED, replicated=True)
        worker = self._seated(task_id, pick, SeatState.COMMITTED)
        self._reveal(self.actor(who), worker, task_id, other=is_other)

    @rule(pick=PICK, who=ACTOR)
    def close_round(self, pick: int, who: int) -> None:
        task_id = self.pick(pick, State.LEASED, replicated=True)
        self.world.do("closeRound", self.actor(who), (task_id,), lambda: self.book.close_round(task_id))
        self.world.touch(task_id)

    @rule(pick=PICK, seed=SEED, commits=st.integers(1, 7), reveals=st.integers(0, 7))
    def replicas_work(self, pick: int, seed: int, commits: int, reveals: int) -> None:
        """A crowd on one task: chance alone seldom brings seven workers together."""
        task_id = self.pick(pick, State.OPEN, replicated=True)
        task = self.book.task(task_id)
        if task is None or task.state != State.OPEN or not task.replicated:
            task_id = self._asked(seed, (3, 5, 7)[seed % 3])
            task = self.book.task(task_id)
        crowd = [self.actor(seed + place) for place in range(task.terms.replicas if task else 1)]
        for place, worker in enumerate(crowd):
            self._claim(worker, [task_id])
            if place < commits:
                self._commit(worker, task_id, (0, 0, 0, 1, 0, 5, COPIED, 7)[(seed >> place) % 8])
        for worker in crowd[:reveals]:
            self._reveal(worker, worker, task_id, other=False)
        if commits == reveals:
            self.world.do("closeRound", crowd[0], (task_id,), lambda: self.book.close_round(task_id))
            self.world.touch(task_id)

    @rule(who=ACTOR, seed=SEED, variant=VARIANT)
    def work_gets_done(self, who: int, seed: int, variant: int) -> None:
        """From the asking to the post: chance alone seldom keeps these in order."""
        worker = self.actor(who)
        ids = [self._asked(seed + 7 * k, 1) for k in range(1 + seed % 3)]
        self._claim(worker, ids)
        self._post(worker, ids, variant)

    @rule(seed=SEED, who=ACTOR)
    def settle_many(self, seed: int, who: int) -> None:
        ids = self.picks(seed, State.POSTED)
        outcome, expected = self.world.do(
            "settleMany", self.actor(who), (ids,), lambda: self.book.settle_many(ids)
        )
        self.compare_skips(outcome, expected)
        self.world.touch(*ids)

    @rule(pick=PICK, who=ACTOR, state=st.sampled_from((State.OPEN, State.LEASED)))
    def expire(self, pick: int, who: int, state: State) -> None:
        task_id = self.pick(pick, state)
        self.world.do("expire", self.actor(who), (task_id,), lambda: self.book.expire(task_id))
        self.world.touch(task_id)

    # ------------------------------------------------------------------------------------------------- parts

    def _claim(self, caller: str, ids: list[bytes]) -> None:
        outcome, expected = self.world.do(
            "claimMany", caller, (ids,), lambda: self.book.claim_many(caller, ids)
        )
        self.compare_skips(outcome, expected)
        self.world.touch(*ids)

    def _post(self, caller: str, ids: list[bytes], variant: int) -> None:
        works = [self._work(task_id, caller, variant) for task_id in ids]
        postings = [
            Posting(task_id, done.digest, done.claimed) for task_id, done in zip(ids, works, strict=True)
        ]
        outcome, expected = self.world.do(
            "postBatch",
            caller,
            ([(one.task_id, one.body, one.tokens) for one in postings],),
            lambda: self.book.post_batch(caller, postings),
        )
        assert expected is not None
        taken, left_out = expected
        self.compare_skips(outcome, left_out)
        self._keep_batch(caller, taken, {done.digest: done for done in works}, outcome.answer)
        self.world.touch(*ids)

    def _asked(self, seed: int, replicas: int) -> bytes:
        """A task freshly paid for, by somebody who has the money; not opened where the token holds it back."""
        requester = self.actor(seed)
        asked = forms.sound_request(requester, self.world.machine.now, seed, replicas)
        order = forms.order(self.world.domain, asked, is_vouched=True)
        price = asked.max_fee_units * replicas + asked.tip_units
        if self.book.account(requester).free < price + 10_000:
            self.world.deposit(requester, requester, price + 10_000)
        self.world.do(
            "submit",
            requester,
            (as_tuple(asked),),
            lambda: self.book.submit(order, 0, "NotRequester"),
        )
        if self.book.task(order.task_id) is not None:
            self.requests[order.task_id] = asked
        self.world.touch(order.task_id)
        return order.task_id

    def _commit(self, caller: str, task_id: bytes, variant: int) -> None:
        done = self._work(task_id, caller, 0 if variant == COPIED else variant)
        commitment = done.verdict if variant == COPIED else done.commitment
        outcome, _ = self.world.do(
            "commit", caller, (task_id, commitment), lambda: self.book.commit(caller, task_id, commitment)
        )
        if outcome.error is None:
            self.works.setdefault(task_id, {})[caller] = done
        self.world.touch(task_id)

    def _reveal(self, caller: str, worker: str, task_id: bytes, *, other: bool) -> None:
        done = None if other else self.works.get(task_id, {}).get(worker)
        done = done or self._work(task_id, worker, 2)
        shown = Showing(task_id, worker, done.claimed, done.commitment, done.verdict)
        self.world.do(
            "reveal",
            caller,
            (body_tuple(done.body), done.claimed, done.salt),
            lambda: self.book.reveal(shown),
        )
        self.world.touch(task_id)

    def _work(self, task_id: bytes, worker: str, variant: int) -> Work:
        task = self.book.task(task_id)
        largest = task.terms.max_output_tokens if task else 1
        return forms.work(self.world.domain, task_id, worker, largest, variant)

    def _seated(self, task_id: bytes, pick: int, state: SeatState) -> str:
        """Who holds the task, or one of its seats in this state; anybody where nobody does."""
        task = self.book.task(task_id)
        if task is not None and not task.replicated and task.state == State.LEASED:
            return task.worker
        seated = [seat.worker for seat in task.seats if seat.state == state] if task else []
        return seated[pick % len(seated)] if seated else self.actor(pick)

    def _keep_batch(self, caller: str, taken: list[Posting], works: dict[bytes, Work], answer: bytes) -> None:
        if not taken:
            assert not any(answer), "no root of nothing"
            return
        leaves = [leaf(Receipt(one.task_id, one.body, one.tokens)) for one in taken]
        root = batch_root(leaves)
        assert answer == root, "I11: both sides compute one root"
        self.book.note_batch(root, caller)
        for place, one in enumerate(taken):
            self.works[one.task_id] = {caller: works[one.body]}
            self.paths[one.task_id] = proof(leaves, place)
