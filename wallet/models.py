"""Which model a person means: those announced on chain, and the directories registered on this machine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from chain.files import replace_file
from chain.store import ContentStore, manifest_key
from protocol.digest import JsonValue, MalformedJson, from_hex, parse_json, to_hex
from protocol.errors import BadInput
from protocol.manifest import build_manifest, model_id
from wallet.hub import download

_MAX_BYTES = 1 << 20
_LEAST_PREFIX = 4


class ModelNeverAnnounced(BadInput):
    """No such model was announced on this chain."""

    def __init__(self, text: str, announced: tuple[str, ...]) -> None:
        known = f"announced are {', '.join(announced)}" if announced else "none is announced yet"
        super().__init__("ASK-004", "model", text, f"{known}; add one with 'quern model add DIR --announce'")


class ModelNotNamed(BadInput):
    """Several models could be meant."""

    def __init__(self, text: str | None, fitting: tuple[str, ...]) -> None:
        super().__init__("ASK-005", "model", text, f"give --model, one of {', '.join(fitting)}")


class DamagedModelList(BadInput):
    """The list of registered models cannot be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "ASK-006", "model list", str(path), "it cannot be read; delete it and add the models again"
        )


@dataclass(frozen=True, slots=True)
class Registered:
    """A model directory of this machine."""

    name: str
    path: Path
    model_id: bytes


@dataclass(frozen=True, slots=True)
class ModelList:
    """The registered directories, one JSON file."""

    file: Path

    def all(self) -> tuple[Registered, ...]:
        """By name. Raises DamagedModelList."""
        if not self.file.exists():
            return ()
        try:
            content = parse_json("models", self.file.read_bytes(), max_bytes=_MAX_BYTES)
            assert isinstance(content, list)
            return tuple(
                Registered(str(item["name"]), Path(str(item["path"])), from_hex("model_id", item["model_id"]))
                for item in content
            )
        except (AssertionError, KeyError, TypeError, ValueError, MalformedJson) as error:
            raise DamagedModelList(self.file) from error

    def add(self, model: Registered) -> None:
        """Register a directory; one of the same name or id takes the old one's place."""
        others = [old for old in self.all() if old.name != model.name and old.model_id != model.model_id]
        listed = sorted([*others, model], key=lambda each: each.name)
        content = [
            {"name": each.name, "path": str(each.path), "model_id": to_hex(each.model_id)} for each in listed
        ]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.file, (json.dumps(content, indent=1) + "\n").encode())

    def of(self, model_id: bytes) -> Registered | None:
        return next((model for model in self.all() if model.model_id == model_id), None)


def announced_uri(model_id: bytes, name: str) -> str:
    """What is announced: the manifest's key in the store, and a name for people as its fragment."""
    return f"{manifest_key(model_id)}#{quote(name, safe='')}"


def announced_name(uri: str) -> str:
    """The name in an announced URI; anybody may have chosen it."""
    return unquote(uri.partition("#")[2])


@dataclass(frozen=True, slots=True)
class Listed:
    """A model registered here, announced on chain, or both."""

    model_id: bytes
    name: str
    path: Path | None
    is_announced: bool

    @property
    def hex_id(self) -> str:
        return to_hex(self.model_id)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "model": self.hex_id,
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "announced": self.is_announced,
        }


def listing(registered: tuple[Registered, ...], announced: Mapping[bytes, str]) -> tuple[Listed, ...]:
    """Those of this machine first."""
    here = [Listed(each.model_id, each.name, each.path, each.model_id in announced) for each in registered]
    known = {each.model_id for each in registered}
    elsewhere = [
        Listed(model, announced_name(uri), None, is_announced=True)
        for model, uri in announced.items()
        if model not in known
    ]
    return (*here, *elsewhere)


def choose(text: str | None, announced: Mapping[bytes, str], registered: tuple[Registered, ...]) -> bytes:
    """The announced model that a name, an id or the beginning of one means; the only one if nothing is said.

    A name of this machine goes before one that somebody announced. Raises ModelNeverAnnounced, ModelNotNamed.
    """
    listed = tuple(sorted(announced_name(uri) or to_hex(model)[:18] for model, uri in announced.items()))
    if text is None:
        if len(announced) == 1:
            return next(iter(announced))
        if not announced:
            raise ModelNeverAnnounced("(any)", ())
        raise ModelNotNamed(None, listed)
    local = {model.model_id for model in registered if model.name == text}
    fitting = local & announced.keys() or {
        model
        for model, uri in announced.items()
        if announced_name(uri) == text or _begins(to_hex(model), text)
    }
    if not fitting:
        raise ModelNeverAnnounced(text, listed)
    if len(fitting) > 1:
        raise ModelNotNamed(text, tuple(sorted(to_hex(model)[:18] for model in fitting)))
    return fitting.pop()


def _begins(model_hex: str, text: str) -> bool:
    digits = text.lower().removeprefix("0x")
    return len(digits) >= _LEAST_PREFIX and model_hex.startswith("0x" + digits)


def add(source: str, name: str | None, models: ModelList, store: ContentStore) -> Registered:
    """Take a directory or a hub name into use: digest it, store its manifest, register it on this machine.

    Raises NotAModel, HubUnreachable, NotOnHub, StoreUnavailable; nothing is left behind then.
    """
    directory = Path(source).expanduser()
    if not directory.is_dir():
        directory = download(source)
    directory = directory.resolve()
    manifest = build_manifest(directory)
    model = Registered(name or Path(source).name or directory.name, directory, model_id(manifest))
    store.put(manifest_key(model.model_id), manifest.encoded())
    models.add(model)
    return model
