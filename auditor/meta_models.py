"""Meta-models that workers trained themselves, from where they put them: bytes of strangers, read as JSON alone."""

from chain.store import BadKey, ContentStore, meta_model_key
from metainf import Selector
from metainf.model import MAX_BYTES, MetaModel


def published(store: ContentStore, digest: str) -> Selector:
    """The one of that digest (`0x` and hex), ready to make its choices again.

    Raises BadKey, ContentMissing, ContentMismatch, TooLarge, StoreUnavailable, MetaModelUnreadable.
    """
    try:
        named = bytes.fromhex(digest.removeprefix("0x"))
    except ValueError as error:
        raise BadKey(digest) from error
    return Selector(MetaModel.read(store.get_checked(meta_model_key(named), named, MAX_BYTES), digest))
