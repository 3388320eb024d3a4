"""What is kept of a task while engines work on it, so that a crash costs the current step at most."""

from dataclasses import dataclass, field

from engine.base import Completion, GenerationRequest
from metainf import Strategy
from worker.jobs import Job, request_id, sampling_of
from worker.run import Run


@dataclass(frozen=True, slots=True)
class Resumption:
    """The task was taken up again: when (unix seconds), with how many finished prompts and how many tokens."""

    at: float
    prompts: int
    tokens: int


@dataclass(slots=True)
class Kept:
    """A task's output so far, by the prompt's place in its input; `continued` prompts were fed with their tokens.

    Times are unix seconds.
    """

    task_id: bytes
    run: Run
    started_at: float
    tokens: dict[int, list[int]] = field(default_factory=dict)
    first_token_at: dict[int, float] = field(default_factory=dict)
    completions: dict[int, Completion] = field(default_factory=dict)
    resumed: list[Resumption] = field(default_factory=list)
    continued: set[int] = field(default_factory=set)

    @property
    def output_tokens(self) -> int:
        return sum(map(len, self.tokens.values()))

    def cut(self, lengths: dict[int, int], at: float) -> None:
        """Take up again with that many tokens of each unfinished prompt."""
        for place in [place for place in self.tokens if place not in self.completions]:
            length = lengths.get(place, 0)
            if length:
                self.continued.add(place)
                del self.tokens[place][length:]
            else:
                self.continued.discard(place)
                del self.tokens[place]
                self.first_token_at.pop(place, None)
        self.resumed.append(Resumption(at, len(self.completions), self.output_tokens))


def continued_lengths(job: Job, kept: Kept, strategy: Strategy) -> dict[int, int]:
    """How many tokens of each unfinished prompt may be fed back, so that the rest comes out as it would have.

    The last token is made again: it may have been the end. A sampled output starts anew, because the engine does not
    show its random generator's state (the seed makes it the same output); so does one whose stop texts may lie across
    the seam, or whose penalties tell prompt from output. Feeding back gives the very same tokens where the strategy is
    exact and the model float32; elsewhere they are the model's choice as much as the others would be, but not those
    that replicas are compared by.
    """
    params = job.checked.params
    plain = not params.stop and not params.presence_penalty and not params.frequency_penalty
    exact = strategy.exact and job.model.dtype == "float32"
    if not (params.greedy and plain and params.repetition_penalty == 1.0):
        return {}
    if not exact and job.checked.equivalence is not None:
        return {}
    return {place: len(ids) - 1 for place, ids in kept.tokens.items() if place not in kept.completions}


def requests_left(job: Job, kept: Kept, feeding: int) -> list[GenerationRequest]:
    """One for each prompt that can be served and is not finished, its kept tokens behind the prompt."""
    sampling, requests = sampling_of(job.checked.params), []
    for place, prompt in enumerate(job.checked.prompts):
        if prompt.error is None and place not in kept.completions:
            fed_back = tuple(kept.tokens.get(place, ()))
            requests.append(
                GenerationRequest(
                    request_id(job.task_id, feeding, place),
                    prompt.token_ids + fed_back,
                    prompt.max_tokens - len(fed_back),
                    sampling,
                )
            )
    return requests
