"""From options to the rooms' objects: the market's desk, the store, wallets; made when asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from quern.context import home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eth_account.signers.local import LocalAccount

    from chain.store import ContentStore
    from engine.tokenizer import Tokenizer
    from protocol.equivalence import EquivalenceClass
    from protocol.replay import MarketView
    from wallet.answer import Answer
    from wallet.desk import Desk
    from wallet.hand import Hand
    from wallet.inputs import Window
    from wallet.keystore import Keystore, Wallet


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


def relayer(text: str | None) -> "Wallet | None":
    """The wallet of that name, or the keystore file at that path; still locked."""
    from chain.keyfile import read_address
    from wallet.keystore import Wallet

    if text is None:
        return None
    path = Path(text).expanduser()
    if path.is_file():
        return Wallet(path.name, read_address(path), path)
    return keystore().get(text)


def hand(
    signer: "Wallet", password_file: Path | None, sender: "Wallet | None", sender_file: Path | None
) -> "Hand":
    """Both keys opened: who signs, and who sends if that is another."""
    from chain.keyfile import unlock
    from wallet.hand import Hand
    from wallet.passwords import password_for

    account = unlock(signer.path, password_for(signer.name, password_file))
    if sender is None:
        return Hand(account)
    return Hand(account, unlock(sender.path, password_for(sender.name, sender_file or password_file)))


def equivalence(model_id: bytes, market: "MarketView", content: "ContentStore") -> "EquivalenceClass":
    """The class in which the model was last served, else that of the measured catalogue."""
    from wallet.classes import NoClass, default_class, last_served

    served = last_served(market, model_id, content)
    if served is not None:
        return served
    try:
        from metainf import catalogue
        from metainf.model import MetaModel

        version = str(MetaModel.load().provenance["vllm_version"])
    except ImportError as error:
        raise NoClass(model_id, "the catalogue of strategies comes with a worker's installation") from error
    exact = tuple(bytes.fromhex(each.digest()[2:]) for each in catalogue("cpu", version) if each.exact)
    return default_class(model_id, content, {"engine": "vllm", "version": version, "device": "cpu"}, exact)


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
