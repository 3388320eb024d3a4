"""The worker's settings: one definition from which the template, its comments and the environment names are made."""

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine.environment import SMALL_MACHINE_CORES
from worker.errors import BadConfig

ENV_PREFIX = "QUERN_WORKER_"


def default_threads() -> int:
    """One on a small machine, which is rarely ours alone; every core on a large one."""
    cores = os.cpu_count() or 1
    return 1 if cores <= SMALL_MACHINE_CORES else cores


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chain(_Section):
    """Which market, through which node."""

    deployment: Path = Field(description="deployment file of the market (`quern devnet up` writes one)")
    rpc_url: str = Field(
        "",
        description="JSON-RPC endpoint, or several with commas between, asked in this order; empty takes the deployment"
        " file's own. Credentials are masked",
    )
    confirmations: Annotated[int, Field(ge=0, le=256)] = Field(
        0,
        description="blocks an event must be buried under before it counts; 0 suits a devnet, 2 or more elsewhere",
    )
    poll_ms: Annotated[int, Field(ge=5, le=60_000)] = Field(
        100, description="milliseconds between two looks at the chain"
    )
    heads: bool = Field(
        default=True,
        description="look also as soon as the node tells of a block over a WebSocket at the RPC address, if it does",
    )
    timeout_secs: Annotated[float, Field(gt=0, le=600)] = Field(
        20.0, description="how long one RPC call may take"
    )


class Store(_Section):
    """Where inputs are read and results are written."""

    url: str = Field(description="content store as an fsspec URL, for example file:///srv/quern/store")
    input_schemes: tuple[str, ...] = Field(
        ("file", "https"), description="schemes an absolute input address may have; relative ones use `url`"
    )
    max_input_bytes: Annotated[int, Field(ge=1024)] = Field(
        8 << 20, description="a larger input is declined without reading it to the end"
    )
    max_prompts: Annotated[int, Field(ge=1)] = Field(10_000, description="prompts one task may carry")
    keep_days: Annotated[float, Field(gt=0)] = Field(
        30.0,
        description="days the worker's database remembers a task after its end (the store is never emptied)",
    )


class Keys(_Section):
    """The operator's key. Its password never stands here: QUERN_KEYSTORE_PASSWORD_FILE or QUERN_KEYSTORE_PASSWORD."""

    keystore: Path = Field(description="encrypted keystore of the key that bonds, posts and is paid")


class Engine(_Section):
    """What generates the tokens."""

    kind: Literal["vllm", "fake"] = Field(
        "vllm",
        description='"vllm", or "fake" for tests of the chain side alone: its receipts say so',
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description='"cuda" is an NVIDIA GPU; "auto" takes one if it and vLLM for it are there, else the CPU',
    )
    tensor_parallel: Annotated[int, Field(ge=1)] = Field(
        1, description="devices that share every layer of a model; a strategy that names its own number wins"
    )
    pipeline_parallel: Annotated[int, Field(ge=1)] = Field(
        1, description="groups of devices that hold one part of the layers each; a strategy's own number wins"
    )
    kv_cache_mib: Annotated[int, Field(ge=0)] = Field(
        0,
        description="KV cache of one engine, on each device; 0 takes 256 on a CPU, what weights leave of a GPU",
    )
    strategies: tuple[str, ...] = Field(
        (), description="strategies the selector may choose from; empty means all that are valid here"
    )
    meta_model: Path | None = Field(
        None, description="meta-model file that chooses; empty takes the one shipped"
    )
    explore_percent: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0,
        description="share of choices that try a strategy expected to cost up to a quarter more, to learn from it;"
        " never near a lease's end",
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        default_factory=default_threads,
        description="OpenMP threads of the engine; beside busy neighbours a second one is far slower, not faster",
    )
    slots: Annotated[int, Field(ge=0)] = Field(
        0,
        description="prompts given to the engines at a time, as far as the KV cache will likely hold them; 0 takes 64"
        " on a CPU, 256 on a GPU. The rest wait claimed, at most one batch of them",
    )
    resident: Annotated[int, Field(ge=1, le=64)] = Field(
        3,
        description="engines kept up side by side, so that changing strategy or model costs no start; the least worth"
        " keeping is let go first, none while it works",
    )
    memory_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.7,
        description="share of the machine's memory that all engines together may take; one alone may exceed it",
    )
    generating: Annotated[int, Field(ge=1)] = Field(
        1,
        description="engines that generate at the same time; on a CPU they share the cores and gain nothing",
    )
    start_timeout_secs: Annotated[float, Field(gt=0)] = Field(
        180.0, description="an engine not up by then has failed"
    )
    hang_secs: Annotated[float, Field(gt=0)] = Field(
        120.0, description="no token for so long while prompts run means the engine hangs and is restarted"
    )
    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        3, description="tries of one task before its lease is given back"
    )
    fake_tokens_per_sec: Annotated[float, Field(ge=0)] = Field(
        0.0, description="speed of the fake engine; 0 is as fast as it can"
    )

    @property
    def devices(self) -> int:
        """How many one model is spread over, unless a strategy says otherwise."""
        return self.tensor_parallel * self.pipeline_parallel


class Batches(_Section):
    """How much is claimed, posted and settled at a time. The worker claims at most one batch ahead of the engine, no
    more than the KV cache will likely hold and the shortest lease in it has time for.
    """

    tasks: Annotated[int, Field(ge=1, le=1024)] = Field(
        128, description="tasks claimed at most in one transaction"
    )
    prompts: Annotated[int, Field(ge=1)] = Field(
        256, description="prompts claimed ahead at most; a single larger task may exceed it"
    )
    secs: Annotated[float, Field(gt=0)] = Field(
        60.0, description="expected seconds of work claimed ahead at most; a single longer task may exceed it"
    )
    fetch_ahead: Annotated[int, Field(ge=1)] = Field(
        512, description="inputs fetched and checked before their turn comes"
    )
    fetch_ahead_tokens: Annotated[int, Field(ge=1)] = Field(
        4_000_000,
        description="prompt tokens of those inputs, kept in memory, beyond which no further one is fetched",
    )
    post_tasks: Annotated[int, Field(ge=1, le=1000)] = Field(
        256, description="results posted at most in one transaction"
    )
    settle_tasks: Annotated[int, Field(ge=1, le=800)] = Field(
        256, description="tasks settled at most in one transaction"
    )


class Price(_Section):
    """What the operator wants. One unit is one gwei."""

    max_bond_units: Annotated[int, Field(ge=0)] = Field(
        1_000_000_000, description="largest bond risked on one task, in units (1 ether)"
    )
    units_per_engine_sec: Annotated[float, Field(ge=0)] = Field(
        0.0, description="what one second of the engine must earn, in units, beside the gas"
    )
    low_output_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25, description="share of maxOutputTokens assumed to be produced when judging whether a task pays"
    )
    gas_per_task: Annotated[int, Field(ge=0)] = Field(
        45_000,
        description="gas of claiming, posting and settling one task, assumed when judging whether a task pays",
    )
    withdraw_above_units: Annotated[int, Field(ge=0)] = Field(
        0,
        description="free balance above which the surplus is withdrawn to the key's own address; 0 never withdraws",
    )


class Limits(_Section):
    """What the worker lets itself in for."""

    max_output_tokens: Annotated[int, Field(ge=1)] = Field(
        1 << 20, description="maxOutputTokens of one task at most"
    )
    lease_margin: Annotated[float, Field(ge=1)] = Field(
        1.5, description="the lease must be so many times the expected seconds"
    )
    give_up_over: Annotated[float, Field(ge=0)] = Field(
        1.5,
        description="a lease is given back when the work left takes so many times what is left of it and part of the"
        " bond can still be saved; 0 works on, for a late result counts until somebody else takes the lapsed lease",
    )
    spare_secs: Annotated[int, Field(ge=0)] = Field(
        3, description="seconds kept free at a lease's end for posting"
    )


class Operations(_Section):
    """Watching it."""

    host: str = Field("127.0.0.1", description="address of /metrics and /healthz")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(0, description="their port; 0 serves neither")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least level that is logged"
    )
    drain_secs: Annotated[float, Field(ge=0)] = Field(
        600.0,
        description="how long a drain may take to finish, post and settle before the worker stops anyway",
    )


class Learning(_Section):
    """Learning from the worker's own settled jobs. Corrections are always made; this is about new meta-models."""

    retrain_hours: Annotated[float, Field(ge=0, le=8_760)] = Field(
        24.0,
        description="hours between two trainings of a meta-model from the table and this worker's jobs, in a process"
        " of low priority; it is used if it is better on the latest jobs. 0 never trains and uses what is configured",
    )
    niceness: Annotated[int, Field(ge=0, le=19)] = Field(
        19,
        description="how far training gives way to whatever else the machine does: 19 the most, 0 not at all",
    )
    table: Path | None = Field(
        None, description="table of measurements to train on beside the jobs; empty takes the one shipped"
    )


class Model(_Section):
    """A model this worker serves."""

    path: Path = Field(description="directory in Hugging Face's layout")


class WorkerConfig(BaseSettings):
    """All settings. `state_dir` holds database and log. Environment: QUERN_WORKER_CHAIN__RPC_URL and so on."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=False
    )

    state_dir: Path = Field(
        description="directory of the worker's database; a cache that chain and store can rebuild"
    )
    chain: Chain
    store: Store
    keys: Keys
    models: tuple[Model, ...] = Field(min_length=1)
    engine: Engine = Engine()
    batches: Batches = Batches()
    price: Price = Price()
    limits: Limits = Limits()
    operations: Operations = Operations()
    learning: Learning = Learning()

    @property
    def database(self) -> Path:
        return self.state_dir / "worker.db"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 the library calls it by these names
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose values come in as arguments."""
        return env_settings, init_settings


def load(path: Path) -> WorkerConfig:
    """Settings from a TOML file and the environment; relative paths are the file's. Raises BadConfig."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadConfig("config", str(path), f"{error.strerror}; run `quern worker init`") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig("config", str(path), f"not valid TOML: {error}") from error
    with naming_the_setting():
        config = WorkerConfig(**values)
    return _anchored(config, path.parent.resolve())


@contextmanager
def naming_the_setting() -> Iterator[None]:
    """Settings put together inside raise BadConfig, naming the first that is wrong."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        raise BadConfig(
            ".".join(str(part) for part in first["loc"]), first.get("input"), first["msg"]
        ) from error


def _anchored(config: WorkerConfig, base: Path) -> WorkerConfig:
    """The same settings with every relative path taken from the file's directory."""

    def at(path: Path) -> Path:
        return Path(os.path.normpath(base / path.expanduser()))

    return config.model_copy(
        update={
            "state_dir": at(config.state_dir),
            "chain": config.chain.model_copy(update={"deployment": at(config.chain.deployment)}),
            "engine": config.engine.model_copy(
                update={"meta_model": at(config.engine.meta_model) if config.engine.meta_model else None}
            ),
            "learning": config.learning.model_copy(
                update={"table": at(config.learning.table) if config.learning.table else None}
            ),
            "keys": config.keys.model_copy(update={"keystore": at(config.keys.keystore)}),
            "models": tuple(Model(path=at(model.path)) for model in config.models),
        }
    )
