"""What a model is: the sha256 of every file that shapes its answers, and the weights that count as it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.digest import HEX_DIGEST, JsonValue, canonical_json, json_digest, parse_json
from protocol.errors import BadInput

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1 << 20
_WORD = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
# Files that loaders read; anything else in the directory (a licence, a model card) changes no answer.
_SHARED_FILES = re.compile(
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json"
    r"|merges\.txt|vocab\.txt|tokenizer\.model|chat_template\.jinja"
)
_WEIGHT_FILES = re.compile(r"[A-Za-z0-9_.-]+\.safetensors(\.index\.json)?")


class NotAModel(BadInput):
    """A directory without what a manifest needs."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("MODEL-001", field, value, fix)


class MalformedManifest(BadInput):
    """Manifest bytes that break the format."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("MODEL-002", field, value, fix)


class ModelMismatch(BadInput):
    """A directory that is not the model its manifest describes."""

    def __init__(self, file: str, reason: str, fix: str) -> None:
        super().__init__("MODEL-003", file, reason, fix)


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of weights that counts as the model. `files`: name to "0x" sha256."""

    dtype: str
    quantization: str
    kv_dtype: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`files` (configuration, tokenizer, chat template) are shared by all variants. Names play no part."""

    files: Mapping[str, str]
    variants: tuple[Variant, ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "quern": MANIFEST_VERSION,
            "files": dict(self.files),
            "variants": [
                {
                    "dtype": variant.dtype,
                    "quantization": variant.quantization,
                    "kv_dtype": variant.kv_dtype,
                    "files": dict(variant.files),
                }
                for variant in self.variants
            ],
        }

    def encoded(self) -> bytes:
        return canonical_json(self.to_json())

    @staticmethod
    def decode(data: bytes) -> "Manifest":
        """From stored bytes. Raises MalformedManifest or MalformedJson."""
        match parse_json("manifest", data, max_bytes=MAX_MANIFEST_BYTES):
            case {"quern": 1, "files": dict(files), "variants": [*variants], **rest} if variants and not rest:
                return Manifest(
                    files=_read_files("files", files, _SHARED_FILES),
                    variants=tuple(_read_variant(variant) for variant in variants),
                )
            case other:
                raise MalformedManifest("manifest", other, "give quern (1), files and at least one variant")


def model_id(manifest: Manifest) -> bytes:
    """sha256 of the canonical manifest: what a request names."""
    return json_digest(manifest.to_json())


def build_manifest(model_dir: Path) -> Manifest:
    """Of a Hugging Face directory, with the weights there as the one variant. Raises NotAModel."""
    if not model_dir.is_dir():
        raise NotAModel(
            "model", str(model_dir), "give a directory with config.json, a tokenizer and *.safetensors"
        )
    shared, weights = _relevant_files(model_dir)
    if "config.json" not in shared:
        raise NotAModel("config.json", str(model_dir), "give a Hugging Face model directory")
    if not any(name.startswith("tokenizer") for name in shared):
        raise NotAModel("tokenizer", str(model_dir), "add tokenizer.json")
    if not weights:
        raise NotAModel(
            "weights", str(model_dir), "add *.safetensors (pickled weights run code and are refused)"
        )
    dtype, quantization = _config_facts(model_dir / "config.json")
    return Manifest(
        files=_hash_all(model_dir, shared),
        variants=(Variant(dtype, quantization, "auto", _hash_all(model_dir, weights)),),
    )


def verify_dir(manifest: Manifest, model_dir: Path) -> Variant:
    """The variant that `model_dir` holds, after hashing every file. Raises ModelMismatch."""
    shared, weights = _relevant_files(model_dir)
    _compare("files", manifest.files, _hash_all(model_dir, shared))
    found = _hash_all(model_dir, weights)
    for variant in manifest.variants:
        if dict(variant.files) == found:
            return variant
    raise ModelMismatch(
        "weights", ", ".join(weights) or "none", "fetch the files of a variant of the manifest"
    )


def hash_file(path: Path) -> str:
    """ "0x" sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return "0x" + digest.hexdigest()


def _relevant_files(model_dir: Path) -> tuple[list[str], list[str]]:
    names = sorted(path.name for path in model_dir.iterdir() if path.is_file())
    shared = [name for name in names if _SHARED_FILES.fullmatch(name)]
    return shared, [name for name in names if _WEIGHT_FILES.fullmatch(name)]


def _hash_all(model_dir: Path, names: list[str]) -> dict[str, str]:
    return {name: hash_file(model_dir / name) for name in names}


def _compare(field: str, said: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted(said.keys() | found.keys()):
        if said.get(name) == found.get(name):
            continue
        reason = (
            "missing" if name not in found else "not in the manifest" if name not in said else "other bytes"
        )
        raise ModelMismatch(f"{field}/{name}", reason, "use the very directory the manifest was made of")


def _config_facts(path: Path) -> tuple[str, str]:
    """dtype and quantization a Hugging Face config declares; "float32" and "none" where it is silent."""
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise NotAModel("config.json", str(error), "give valid JSON") from error
    if not isinstance(config, dict):
        raise NotAModel("config.json", type(config).__name__, "give a JSON object")
    dtype = config.get("dtype") or config.get("torch_dtype") or "float32"
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method", "none") if isinstance(quantization, dict) else "none"
    return _word("dtype", dtype, NotAModel), _word("quantization", method, NotAModel)


def _read_variant(value: JsonValue) -> Variant:
    match value:
        case {
            "dtype": dtype,
            "quantization": quantization,
            "kv_dtype": kv_dtype,
            "files": dict(files),
            **rest,
        } if not rest:
            return Variant(
                _word("dtype", dtype, MalformedManifest),
                _word("quantization", quantization, MalformedManifest),
                _word("kv_dtype", kv_dtype, MalformedManifest),
                _read_files("variant files", files, _WEIGHT_FILES),
            )
        case _:
            raise MalformedManifest("variant", value, "give dtype, quantization, kv_dtype and files")


def _read_files(field: str, value: dict[str, JsonValue], names: re.Pattern[str]) -> dict[str, str]:
    found = {}
    for name, digest in value.items():
        if not names.fullmatch(name) or not isinstance(digest, str) or not HEX_DIGEST.fullmatch(digest):
            raise MalformedManifest(
                field, {name: digest}, "give plain names of model files, each with its 0x sha256"
            )
        found[name] = digest
    if not found:
        raise MalformedManifest(field, value, "list at least one file")
    return found


def _word(field: str, value: object, error: type[NotAModel] | type[MalformedManifest]) -> str:
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise error(field, value, "give a short word")
    return value
