"""A model by its Hugging Face hub name: its files, and nothing that could run."""

import importlib
from pathlib import Path
from types import ModuleType

from protocol.errors import BadInput, Unavailable

# Weights only as safetensors; pickled ones run code when they are loaded.
_WANTED = (
    "*.json",
    "*.safetensors",
    "*.jinja",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "README*",
    "LICENSE*",
)


class HubUnreachable(Unavailable):
    """The hub does not answer, and the model is not in its local cache."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "MODEL-010",
            "model",
            name,
            "the hub cannot be reached; go online, or give a directory with the model",
        )


class NotOnHub(BadInput):
    """The hub has no such model, or does not give it to us."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__("MODEL-011", "model", name, f"{reason}; give a directory or an ORG/NAME of the hub")


def download(name: str) -> Path:
    """The directory of a hub model, downloaded unless cached. Raises HubUnreachable, NotOnHub."""
    hub = _library(name)
    errors = importlib.import_module("huggingface_hub.errors")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(_WANTED)))
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachable(name) from error
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise NotOnHub(name, "the hub has no such model, or it is gated") from error
    except (errors.HFValidationError, ValueError) as error:
        raise NotOnHub(name, "neither a directory nor a name the hub could have") from error
    except (errors.HfHubHTTPError, OSError) as error:
        raise HubUnreachable(name) from error


def _library(name: str) -> ModuleType:
    """Comes with the engines: a wallet alone needs no hub."""
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise NotOnHub(
            name, "no such directory, and without huggingface_hub names cannot be looked up"
        ) from error
