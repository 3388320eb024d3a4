"""Which engines' outputs of a replicated task may count as equal: a file, the class last served, or a default."""

from pathlib import Path

from chain.store import ContentStore, manifest_key
from protocol.digest import JsonValue, MalformedJson, to_hex
from protocol.equivalence import MAX_CLASS_BYTES, BadEquivalence, EquivalenceClass, class_key
from protocol.errors import BadInput, QuernError
from protocol.manifest import MAX_MANIFEST_BYTES, Manifest
from protocol.replay import MarketView


class NoClass(BadInput):
    """Replicas were asked for, and nothing says whose answers count as equal."""

    def __init__(self, model_id: bytes, reason: str) -> None:
        super().__init__(
            "CLASS-002", "class of model", model_id, f"{reason}; write one and give it by --class"
        )


class BadClassFile(BadInput):
    """A class file that cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        fix = f'{reason}; give {{"quern": 1, "engine": {{"engine": "vllm", ...}}, "strategies": []}}'
        super().__init__("CLASS-003", "class file", str(path), fix)


def read_class(path: Path) -> EquivalenceClass:
    """Raises BadClassFile."""
    try:
        with path.open("rb") as file:
            return EquivalenceClass.decode(file.read(MAX_CLASS_BYTES + 1))
    except OSError as error:
        raise BadClassFile(path, str(error.strerror)) from error
    except (BadEquivalence, MalformedJson) as error:
        raise BadClassFile(path, str(error)) from error


def last_served(market: MarketView, model_id: bytes, store: ContentStore) -> EquivalenceClass | None:
    """The class in which a quorum agreed last, if the store has its document: workers are there for it."""
    agreed = [
        task
        for task in market.tasks.values()
        if task.request.model_id == model_id and task.replicated and task.verdict
    ]
    for task in sorted(agreed, key=lambda task: task.posted_at, reverse=True):
        digest = task.request.equivalence
        try:
            return EquivalenceClass.decode(store.get_checked(class_key(digest), digest, MAX_CLASS_BYTES))
        except QuernError:
            continue
    return None


def default_class(
    model_id: bytes, store: ContentStore, engine: dict[str, JsonValue], strategies: tuple[bytes, ...]
) -> EquivalenceClass:
    """`engine` and `strategies` as measured, with the dtype in which the model's manifest has its weights.

    Raises NoClass where that is not one dtype, or the manifest is not in the store.
    """
    try:
        data = store.get_checked(manifest_key(model_id), model_id, MAX_MANIFEST_BYTES)
        dtypes = {variant.dtype for variant in Manifest.decode(data).variants}
    except QuernError as error:
        raise NoClass(model_id, f"its manifest cannot be read ({error})") from error
    if len(dtypes) != 1:
        raise NoClass(model_id, f"its weights come in several types ({', '.join(sorted(dtypes))})")
    return EquivalenceClass({**engine, "dtype": dtypes.pop()}, strategies)


def class_words(one: EquivalenceClass) -> str:
    """What the class means, in one line."""
    facts = ", ".join(f"{name} {value}" for name, value in sorted(one.engine.items()))
    count = len(one.strategies)
    which = f"any of {count} strategies measured exact" if count else "any strategy"
    return f"{to_hex(one.digest())[:18]}: answers of engines with {facts}, under {which}, count as equal"
