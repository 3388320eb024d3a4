"""From options to the rooms' objects: the market's desk, the store, wallets; made when asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from quern.context import home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eth_account.signers.local import LocalAccount

    from chain.store import ContentStore
    from engine.tokenizer import Tokenizer
    from wallet.answer import Answer
    from wallet.desk import Desk
    from wallet.inputs import Window
    from wallet.keystore import Keystore


def desk(deployment: Path | None, rpc: str | None) -> "Desk":
    """The market of a deployment file, its node checked."""
    from wallet.desk import Desk

    return Desk.open(deployment or home().deployment, rpc)


def store(url: str | None, *, read_only: bool = False) -> "ContentStore":
    """The store at `url`, else the folder in home."""
    from chain.store import ContentStore

    return ContentStore(url or home().store.as_uri(), read_only=read_only)


def keystore() -> "Keystore":
    from wallet.keystore import Keystore

    return Keystore(home().wallets)


def unlocked(name: str | None, password_file: Path | None) -> "LocalAccount":
    """The chosen wallet's key."""
    from wallet.passwords import password_for

    chosen = keystore().choose(name)
    return keystore().unlock(chosen.name, password_for(chosen.name, password_file))


def window(model_id: bytes) -> "Window | None":
    """The model's window and how it counts, if the model is registered on this machine."""
    from wallet.inputs import Window

    tokenizer = _tokenizer(model_id)
    if tokenizer is None:
        return None
    return Window(tokenizer.model_max_len, lambda prompt: len(prompt.token_ids(tokenizer)))


def decoder(model_id: bytes) -> "Callable[[Sequence[int]], str] | None":
    """Token ids to text as the model does it, if the model is registered on this machine."""
    tokenizer = _tokenizer(model_id)
    return None if tokenizer is None else tokenizer.decode


def answer(desk: "Desk", task_id: bytes, store_url: str | None) -> "Answer":
    """The answer of a posted task, with every check that can be made on this machine."""
    from wallet.desk import clock
    from wallet.fetch import fetch_answer

    snapshot = desk.read()
    task = snapshot.task(task_id)
    return fetch_answer(
        desk.domain,
        task,
        snapshot,
        clock(snapshot.head),
        store(store_url, read_only=True),
        is_named=store_url is not None,
        decode=decoder(task.request.model_id),
    )


def _tokenizer(model_id: bytes) -> "Tokenizer | None":
    from wallet.models import ModelList

    model = ModelList(home().models).of(model_id)
    if model is None:
        return None
    try:
        from engine.tokenizer import Tokenizer
    except ImportError:
        # A wallet alone comes without tokenizers.
        return None
    return Tokenizer(model.path)
