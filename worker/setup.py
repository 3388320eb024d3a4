"""`worker init`: a key and a configuration, with few questions and a plain word on what is at stake."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chain import deployment as deployments
from protocol.currency import Currency
from protocol.manifest import build_manifest
from worker import keystore
from worker.config import Chain, Engine, Keys, Model, Price, Store, WorkerConfig, naming_the_setting
from worker.errors import BadConfig, WontOverwrite
from worker.template import render


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` wrote. `warning` is for the operator's eyes."""

    config_path: Path
    keystore: Path
    address: str
    warning: str


def init(
    directory: Path,
    *,
    deployment: Path,
    store_url: str,
    models: Sequence[Path],
    password: str,
    rpc_url: str = "",
    key: bytes | None = None,
    engine_kind: Literal["vllm", "fake"] = "vllm",
    max_bond_units: int | None = None,
) -> Initialised:
    """Write `config.toml` and `keystore.json` into `directory`; a new key unless one is given.

    Everything is checked before anything is written. Raises WontOverwrite, BadConfig, NotAModel, NoDeployment.
    """
    config_path, keystore_path = directory / "config.toml", directory / "keystore.json"
    for path in (config_path, keystore_path):
        if path.exists():
            raise WontOverwrite(str(path))
    if not models:
        raise BadConfig("models", "none", "add one with `quern model add DIR`, or name its directory")
    currency = deployments.load(deployment).currency
    for model in models:
        build_manifest(model)
    with naming_the_setting():
        price = Price() if max_bond_units is None else Price(max_bond_units=max_bond_units)
        config = WorkerConfig(
            state_dir=Path("state"),
            chain=Chain(deployment=deployment.resolve(), rpc_url=rpc_url),
            store=Store(url=store_url if "://" in store_url else Path(store_url).resolve().as_uri()),
            keys=Keys(keystore=Path("keystore.json")),
            models=tuple(Model(path=model.resolve()) for model in models),
            engine=Engine(kind=engine_kind),
            price=price,
        )
    directory.mkdir(parents=True, exist_ok=True)
    address = keystore.create(keystore_path, password, key)
    config_path.write_text(render(config), encoding="utf-8")
    return Initialised(config_path, keystore_path, address, stakes(config, address, currency))


def stakes(config: WorkerConfig, address: str, currency: Currency) -> str:
    """What the key can lose, in one paragraph."""
    limit = currency.show(config.price.max_bond_units)
    return (
        f"{address} signs alone, without asking: whoever has its keystore and password has its ether and its deposit. "
        f"At stake are the gas of its transactions and the bonds of what it has claimed, at most {limit} each: "
        "a bond is burned when a lease lapses, in part when one is given back, and lost when a commitment is not "
        "revealed, a demand is not answered or the arbiter finds a fault. "
        "Keep no other money on this key, deposit what the bonds need, and withdraw what it earns."
    )
