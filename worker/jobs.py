"""Work for an engine, and how it is put to one: jobs, their requests, the engine's configuration."""

from dataclasses import dataclass

from engine.base import EngineConfig, JsonValue, Sampling
from metainf import Strategy
from protocol.params import GenerationParams
from worker.config import Engine as EngineSettings
from worker.inputs import CheckedInput
from worker.models import ServedModel


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed task with its checked input. `lease_end` is in wall seconds; `attempts` counts earlier failures."""

    task_id: bytes
    model: ServedModel
    checked: CheckedInput
    lease_end: float
    attempts: int

    @property
    def prompts(self) -> int:
        return self.checked.facts.servable_prompts

    @property
    def tokens(self) -> int:
        """Of its prompts, and all they may become."""
        return self.checked.facts.prompt_tokens + self.checked.facts.max_output_tokens

    def expected_tokens(self, output_share: float) -> int:
        """Of its prompts, and what they will likely become."""
        facts = self.checked.facts
        return facts.prompt_tokens + int(output_share * facts.max_output_tokens)


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine did not get through a task."""

    task_id: bytes
    why: str


def request_id(task_id: bytes, feeding: int, place: int) -> str:
    """Of the prompt at this place of the task's input. A task that is dropped and comes back is another `feeding`, and
    what an engine still says of the one before is told apart.
    """
    return f"{task_id.hex()}/{feeding}/{place}"


def parts_of(request_id: str) -> tuple[bytes, int, int]:
    """What a request was made from: task, feeding, place."""
    task, feeding, place = request_id.split("/")
    return bytes.fromhex(task), int(feeding), int(place)


def engine_config(
    settings: EngineSettings, model: ServedModel, strategy: Strategy, kv_cache_bytes: int
) -> EngineConfig:
    """The strategy, and what this machine and the model add to it."""
    arguments: dict[str, JsonValue] = {**strategy.engine_args, "max_model_len": model.window}
    if settings.kind == "fake":
        arguments["fake_tokens_per_sec"] = settings.fake_tokens_per_sec
    else:
        # Precision is part of what was bought: vLLM's "auto" would halve it on a CPU.
        arguments |= {"dtype": model.dtype, "kv_cache_memory_bytes": kv_cache_bytes}
        for name, devices in (
            ("tensor_parallel_size", settings.tensor_parallel),
            ("pipeline_parallel_size", settings.pipeline_parallel),
        ):
            # How many devices hold a model is a fact of the machine, unless a strategy makes it its own.
            if devices > 1 and arguments.get(name, 1) == 1:
                arguments[name] = devices
    threads = str(settings.threads)
    environment = {"OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, **strategy.environment}
    return EngineConfig(model.path, arguments, environment)


def sampling_of(params: GenerationParams) -> Sampling:
    """The task's parameters as the engine takes them."""
    return Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repetition_penalty=params.repetition_penalty,
        stop=params.stop,
        seed=params.seed,
    )
