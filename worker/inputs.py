"""Fetching and checking a task's input before anything is claimed: size, digest, format, parameters, window."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from chain.store import (
    BadKey,
    ContentMismatch,
    ContentMissing,
    ContentStore,
    StoreUnavailable,
    TooLarge,
    params_key,
    scheme_of,
)
from protocol.batchfile import FileLimits, MalformedInput, Prompt, read_input
from protocol.digest import ZERO_DIGEST, MalformedJson
from protocol.equivalence import EquivalenceClass
from protocol.errors import QuernError
from protocol.params import MAX_PARAMS_BYTES, BadParams, GenerationParams
from protocol.request import Request
from worker.artefacts import InputFacts, lies_outside
from worker.classes import Classes
from worker.codes import Reason
from worker.models import ServedModel
from worker.refusals import InputRefused, StoreAway

_CACHED_PARAMS = 256


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """One prompt as token ids, with the most tokens it may produce; or `error`, why it cannot be served."""

    custom_id: str
    is_chat: bool
    token_ids: tuple[int, ...]
    max_tokens: int
    error: str | None


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """A sound input: digest, format and parameters hold, prompts are tokenised.

    `strategies` are those of the task's equivalence class, empty where any may run it. `foreign` is the input itself
    where it came from elsewhere than the configured store: who claims a task vouches for its input.
    """

    prompts: tuple[PreparedPrompt, ...]
    params: GenerationParams
    facts: InputFacts
    equivalence: EquivalenceClass | None = None
    strategies: tuple[str, ...] = ()
    foreign: bytes | None = None


class InputReader:
    """Reads inputs from the configured store, or from an absolute address of an allowed scheme. Thread-safe."""

    def __init__(
        self,
        store: ContentStore,
        schemes: tuple[str, ...],
        max_bytes: int,
        max_prompts: int,
        models: Mapping[bytes, ServedModel],
        classes: Classes,
    ) -> None:
        self._store = store
        self._schemes = schemes
        self._limits = FileLimits(max_bytes=max_bytes, max_line_bytes=max_bytes, max_prompts=max_prompts)
        self._models = models
        self._classes = classes
        self._params = lru_cache(_CACHED_PARAMS)(self._fetch_params)

    def read(self, request: Request) -> CheckedInput:
        """Fetch, check, tokenise. Raises InputRefused, StoreAway."""
        model = self._models[request.model_id]
        wanted: EquivalenceClass | None = None
        strategies: tuple[str, ...] = ()
        if request.equivalence != ZERO_DIGEST:
            wanted = self._classes.read(request.equivalence)
            strategies = self._classes.strategies(wanted, model)
        params = self._params(request.params_digest)
        data = self._fetch(request)
        try:
            file = read_input(data, self._limits)
        except MalformedInput as error:
            raise InputRefused(Reason("FETCH-004", f"malformed input: {error}")) from error
        prompts = tuple(_prepare(prompt, params, model) for prompt in file.prompts)
        facts = _facts(prompts, file.max_output_tokens(params))
        foreign = data if lies_outside(request.input_uri) else None
        return CheckedInput(prompts, params, facts, wanted, strategies, foreign)

    def _fetch(self, request: Request) -> bytes:
        store, key = self._place(request.input_uri)
        try:
            return store.get_checked(key, request.input_digest, self._limits.max_bytes)
        except ContentMissing as error:
            raise InputRefused(Reason("FETCH-001", f"no input at {request.input_uri!r}")) from error
        except ContentMismatch as error:
            raise InputRefused(
                Reason("FETCH-002", f"the input at {request.input_uri!r} has another digest")
            ) from error
        except TooLarge as error:
            raise InputRefused(
                Reason("FETCH-003", f"input larger than {self._limits.max_bytes} bytes")
            ) from error
        except BadKey as error:
            raise InputRefused(Reason("FETCH-007", f"address {request.input_uri!r}: {error.fix}")) from error
        except StoreUnavailable as error:
            if store is not self._store:
                # A requester's own place that does not answer is not waited for: thousands of them cost nothing.
                raise InputRefused(Reason("FETCH-009", f"{request.input_uri!r} cannot be read")) from error
            raise StoreAway(str(error)) from error

    def _place(self, uri: str) -> tuple[ContentStore, str]:
        if not lies_outside(uri):
            return self._store, uri
        scheme = scheme_of(uri)
        if scheme not in self._schemes:
            raise InputRefused(
                Reason("FETCH-007", f"scheme {scheme!r} is not one of {', '.join(self._schemes) or 'none'}")
            )
        base, _, key = uri.rpartition("/")
        try:
            return ContentStore(base, read_only=True), key
        except QuernError as error:
            raise InputRefused(Reason("FETCH-007", f"address {uri!r}: {error.fix}")) from error

    def _fetch_params(self, digest: bytes) -> GenerationParams:
        try:
            data = self._store.get_checked(params_key(digest), digest, MAX_PARAMS_BYTES)
            return GenerationParams.decode(data)
        except (ContentMissing, ContentMismatch, TooLarge, BadParams, MalformedJson) as error:
            raise InputRefused(Reason("FETCH-006", f"parameters 0x{digest.hex()}: {error}")) from error
        except StoreUnavailable as error:
            raise StoreAway(str(error)) from error


def _prepare(prompt: Prompt, params: GenerationParams, model: ServedModel) -> PreparedPrompt:
    """A prompt the model cannot hold becomes an error of zero tokens; the others are served."""
    allowed = prompt.max_tokens or params.max_tokens
    try:
        ids = prompt.token_ids(model.tokenizer)
    except Exception as error:  # noqa: BLE001 a stranger's text in a model's template may fail in any way
        return PreparedPrompt(
            prompt.custom_id, prompt.is_chat, (), 0, f"cannot be tokenised: {type(error).__name__}"
        )
    room = model.window - len(ids)
    if not ids or room < 1:
        problem = f"prompt of {len(ids)} tokens does not fit the window of {model.window}"
        return PreparedPrompt(prompt.custom_id, prompt.is_chat, (), 0, problem)
    return PreparedPrompt(prompt.custom_id, prompt.is_chat, tuple(ids), min(allowed, room), None)


def _facts(prompts: tuple[PreparedPrompt, ...], declared_tokens: int) -> InputFacts:
    servable = [prompt for prompt in prompts if prompt.error is None]
    return InputFacts(
        prompts=len(prompts),
        servable_prompts=len(servable),
        prompt_tokens=sum(len(prompt.token_ids) for prompt in servable),
        declared_tokens=declared_tokens,
        max_output_tokens=sum(prompt.max_tokens for prompt in servable),
    )
