"""The evidence for one task: what the chain says, and what the store holds, fetched once and checked by the steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from auditor.findings import Lacking, Refuted
from auditor.meta_models import published
from chain.deployment import Deployment
from chain.follower import Cursor, Follower
from chain.rpc import Rpc
from chain.store import (
    ANNOUNCED_SCHEMES,
    BadKey,
    BadStoreUrl,
    ContentMismatch,
    ContentMissing,
    ContentStore,
    StoreUnavailable,
    TooLarge,
    manifest_key,
    output_key,
    params_key,
    receipt_key,
    scheme_of,
)
from engine.tokenizer import Tokenizer
from metainf import Selector
from metainf.errors import MetaModelUnreadable
from protocol.batchfile import DEFAULT_LIMITS, InputFile, OutputFile, Prompt, read_input, read_output
from protocol.digest import to_hex
from protocol.errors import BadInput, QuernError
from protocol.lifecycle import (
    Event,
    RefundReason,
    ResultPosted,
    StoreAnnounced,
    TaskState,
    TaskSubmitted,
    TaskView,
)
from protocol.manifest import MAX_MANIFEST_BYTES, Manifest, verify_dir
from protocol.params import MAX_PARAMS_BYTES, GenerationParams
from protocol.receipt import MAX_RECEIPT_BYTES, ReceiptDocument
from protocol.replay import MarketView, replay

_T = TypeVar("_T")


class NoSuchTask(BadInput):
    """The market never saw this id."""

    def __init__(self, task_id: bytes) -> None:
        super().__init__("AUDIT-001", "task", task_id, "check the id and the deployment; no event names it")


@dataclass(frozen=True, slots=True)
class History:
    """All events of the market up to `head_block`, in order."""

    events: tuple[Event, ...]
    head_block: int

    @staticmethod
    def fetch(rpc: Rpc, deployment: Deployment) -> "History":
        """Every event since the market was made. Raises RpcUnavailable."""
        follower = Follower(rpc, deployment)
        events: list[Event] = []
        trail: tuple[Cursor, ...] = ()
        while True:
            news = follower.poll(trail)
            if news.reorg_to is not None:
                events, trail = [], ()
                continue
            events.extend(news.events)
            trail = (news.cursor,)
            if news.complete:
                return History(tuple(events), news.head.number)


class Case:
    """One task's evidence. Properties fetch when first asked, and raise Lacking or Refuted where they cannot."""

    def __init__(
        self,
        task_id: bytes,
        history: History,
        deployment: Deployment,
        store: ContentStore | None,
        model_dir: Path | None,
    ) -> None:
        self.task_id = task_id
        self.history = history
        self.deployment = deployment
        self._given_store = store
        self._model_dir = model_dir

    @cached_property
    def submitted(self) -> TaskSubmitted:
        """Raises NoSuchTask."""
        for event in self.history.events:
            if isinstance(event, TaskSubmitted) and event.task_id == self.task_id:
                return event
        raise NoSuchTask(self.task_id)

    @cached_property
    def view(self) -> MarketView:
        """The whole market replayed. Raises ImpossibleHistory."""
        return replay(self.history.events, self.deployment.parameters)

    @cached_property
    def task(self) -> TaskView:
        """Raises ImpossibleHistory."""
        return self.view.tasks[self.task_id]

    @cached_property
    def result(self) -> TaskView:
        """The task, once it has a result: posted, or agreed on by a quorum. Raises Lacking."""
        task = self.task
        if task.posted_at:
            return task
        if task.state is not TaskState.REFUNDED:
            raise Lacking(f"there is no result yet: the task is {task.state.name.lower()}")
        if task.refund_reason == RefundReason.NO_QUORUM:
            raise Lacking("there is no result: its replicas did not agree, and the task was refunded")
        raise Lacking("nothing was posted: the task was refunded")

    @cached_property
    def posted(self) -> ResultPosted:
        """What the worker of an unreplicated task posted. Raises Lacking."""
        task = self.result
        return next(
            event
            for event in self.history.events
            if isinstance(event, ResultPosted) and (event.task_id, event.root) == (task.task_id, task.root)
        )

    @cached_property
    def document(self) -> ReceiptDocument:
        data = self._stored("receipt", lambda store: store.get(receipt_key(self.task_id), MAX_RECEIPT_BYTES))
        return _readable("receipt", lambda: ReceiptDocument.decode(data))

    @cached_property
    def input(self) -> InputFile:
        request = self.submitted.request
        store, key = self._input_place(request.input_uri)
        data = _fetched(
            "input", lambda: store.get_checked(key, request.input_digest, DEFAULT_LIMITS.max_bytes)
        )
        return _readable("input", lambda: read_input(data))

    @cached_property
    def params(self) -> GenerationParams:
        digest = self.submitted.request.params_digest
        data = self._stored(
            "parameters", lambda store: store.get_checked(params_key(digest), digest, MAX_PARAMS_BYTES)
        )
        return _readable("parameters", lambda: GenerationParams.decode(data))

    @cached_property
    def output(self) -> OutputFile:
        data = self._stored(
            "output", lambda store: store.get(output_key(self.task_id), DEFAULT_LIMITS.max_bytes)
        )
        return _readable("output", lambda: read_output(data))

    @cached_property
    def manifest(self) -> Manifest:
        digest = self.submitted.request.model_id
        data = self._stored(
            "manifest", lambda store: store.get_checked(manifest_key(digest), digest, MAX_MANIFEST_BYTES)
        )
        return _readable("manifest", lambda: Manifest.decode(data))

    def selector_of(self, digest: str) -> Selector:
        """With the meta-model of that digest, which a worker trained and put into its store. Raises Lacking."""
        try:
            return self._stored("meta-model", lambda store: published(store, digest))
        except MetaModelUnreadable as error:
            raise Lacking(f"the stored meta-model cannot be read ({error})") from error

    @cached_property
    def model_dir(self) -> Path:
        """The auditor's own copy of the model, after hashing it against the manifest. Nothing is fetched for it."""
        if self._model_dir is None:
            model = to_hex(self.submitted.request.model_id)
            raise Lacking(f"no copy of model {model} here; name its directory with --model-dir")
        try:
            verify_dir(self.manifest, self._model_dir)
        except BadInput as error:
            raise Lacking(f"the model here is not the one of the task ({error})") from error
        return self._model_dir

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.model_dir)

    @cached_property
    def prompt_token_ids(self) -> tuple[tuple[int, ...], ...]:
        """Of every prompt in input order; empty where the prompt cannot be tokenised."""
        return tuple(self._tokenised(prompt) for prompt in self.input.prompts)

    def _tokenised(self, prompt: Prompt) -> tuple[int, ...]:
        tokenizer = self.tokenizer
        try:
            return prompt.token_ids(tokenizer)
        except Exception:  # noqa: BLE001 - a stranger's text in a model's template may fail in any way
            return ()

    @cached_property
    def _store(self) -> ContentStore:
        if self._given_store is not None:
            return self._given_store
        newest = {
            event.worker: event.uri for event in self.history.events if isinstance(event, StoreAnnounced)
        }
        # Of several workers that agree, any one's store will do; the first that opens is asked.
        urls = [newest[worker] for worker in self._authors if worker in newest]
        if not urls:
            raise Lacking("no store is known: the worker announced none; name one with --store")
        refusals = []
        for url in urls:
            if scheme_of(url) not in ANNOUNCED_SCHEMES:
                refusals.append(f"the announced store {url!r} is not opened unasked; name one with --store")
                continue
            try:
                return ContentStore(url, read_only=True)
            except QuernError as error:
                refusals.append(f"the announced store cannot be opened ({error})")
        raise Lacking(refusals[0])

    @property
    def _authors(self) -> list[str]:
        """Whose result it is, also after a ruling has taken it from them."""
        task = self.task
        if not task.replicated:
            return [task.worker]
        return [seat.worker for seat in task.seats if task.verdict and seat.verdict == task.verdict]

    def _input_place(self, uri: str) -> tuple[ContentStore, str]:
        if "://" not in uri:
            return self._store, uri
        if scheme_of(uri) != "https":
            raise Lacking(f"the input's address {uri!r} is not opened unasked")
        base, _, key = uri.rpartition("/")
        try:
            return ContentStore(base, read_only=True), key
        except BadStoreUrl as error:
            raise Lacking(f"the input's address cannot be opened ({error})") from error

    def _stored(self, name: str, fetch: Callable[[ContentStore], _T]) -> _T:
        store = self._store
        return _fetched(name, lambda: fetch(store))


def posted_in_batch(events: Sequence[Event], root: bytes) -> list[ResultPosted]:
    """The receipts of one batch, in the order of the tree's leaves."""
    return [event for event in events if isinstance(event, ResultPosted) and event.root == root]


def _fetched(name: str, fetch: Callable[[], _T]) -> _T:
    try:
        return fetch()
    except ContentMissing as error:
        raise Lacking(f"the {name} is not in the store ({error})") from error
    except StoreUnavailable as error:
        raise Lacking(f"the store does not answer ({error})") from error
    except BadKey as error:
        raise Lacking(f"the {name} is nowhere a store could have it ({error})") from error
    except (ContentMismatch, TooLarge) as error:
        raise Refuted(f"the stored {name} is not what was paid for ({error})") from error


def _readable(name: str, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except QuernError as error:
        raise Refuted(f"the stored {name} is malformed ({error})") from error
