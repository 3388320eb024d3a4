"""What an engine or a worker had done of a task when it died is not done again, and the answers are the same."""

import os
import signal

import pytest

from protocol.params import GenerationParams
from tests.worker.engine_room import EngineRoom, again, engine_room, job, served
from tests.worker.harness import eventually
from worker.jobs import Failed, Job
from worker.kept import Kept
from worker.results import Generated

MODEL = served()
PROMPTS = 12
GREEDY = GenerationParams(max_tokens=60)
SAMPLED = GenerationParams(max_tokens=60, temperature=0.7, seed=5)
STOPPING = GenerationParams(max_tokens=60, stop=("zzzz",))
PENALISED = GenerationParams(max_tokens=60, repetition_penalty=1.2)


def _task(params: GenerationParams = GREEDY, number: int = 1) -> Job:
    return job(MODEL, number, PROMPTS, params=params, strategies=("seqs-8",))


def _tokens(outcome: Generated | Failed) -> list[tuple[int, ...]]:
    assert isinstance(outcome, Generated)
    return [outcome.completions[place].token_ids for place in range(PROMPTS)]


def _uninterrupted(tmp_path, task: Job) -> list[tuple[int, ...]]:
    with engine_room(tmp_path / "uninterrupted", MODEL) as room:
        return _tokens(room.run([task])[0])


def _half_done(room: EngineRoom, task: Job) -> None:
    """Some prompts are through, some are under way."""
    room.host.submit([task])

    def half() -> bool:
        kept = _kept(room, task)
        return kept is not None and len(kept.completions) > 2 and kept.output_tokens > 150

    eventually(half, "half of the work is done")


def _kept(room: EngineRoom, task: Job) -> Kept | None:
    return room.host._progress.of(task.task_id)


def _kill_engines(room: EngineRoom) -> None:
    for resident in room.host._fleet:
        os.kill(resident.pid, signal.SIGKILL)


@pytest.mark.parametrize("params", [GREEDY, SAMPLED, STOPPING, PENALISED], ids=str)
def test_after_an_engine_is_killed_finished_prompts_are_kept_and_the_answers_are_the_same(tmp_path, params):
    task = _task(params)
    expected = _uninterrupted(tmp_path, task)
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        _half_done(room, task)
        _kill_engines(room)
        [failed] = room.wait([task.task_id])
        assert isinstance(failed, Failed)
        kept = _kept(room, task)
        assert kept is not None
        finished = sum(len(kept.tokens[place]) for place in kept.completions)
        unfinished = [len(ids) for place, ids in kept.tokens.items() if place not in kept.completions]
        before = room.host.status().output_tokens
        [outcome] = room.run([again(task, attempts=1)])
        made = room.host.status().output_tokens - before
        assert _tokens(outcome) == expected
        total = sum(map(len, expected))
        # The last token of an unfinished prompt is made again; where no prompt can be continued, all of them are.
        spared = finished + (sum(length - 1 for length in unfinished) if params is GREEDY else 0)
        assert made == total - spared
        assert isinstance(outcome, Generated)
        [resumption] = outcome.resumed
        assert resumption.tokens == spared
        assert all(item.prompt_tokens == 4 for item in outcome.completions.values())


def _next_process(tmp_path, task: Job, **engine: object) -> tuple[list[tuple[int, ...]], int, Generated]:
    """What a new host in the same place makes of the task, and how many tokens it took."""
    with engine_room(tmp_path, MODEL, **engine) as room:
        room.host.recover({task.task_id})
        [outcome] = room.run([task])
        assert isinstance(outcome, Generated)
        return _tokens(outcome), room.host.status().output_tokens, outcome


def test_the_next_process_goes_on_where_the_last_one_was(tmp_path):
    task = _task()
    expected = _uninterrupted(tmp_path, task)
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        _half_done(room, task)
    tokens, made, outcome = _next_process(tmp_path, task)
    assert tokens == expected
    [resumption] = outcome.resumed
    assert made == sum(map(len, expected)) - resumption.tokens
    assert resumption.tokens > 100
    assert outcome.started_at < resumption.at < outcome.finished_at


def test_a_task_that_was_through_needs_no_engine(tmp_path):
    task = _task()
    with engine_room(tmp_path, MODEL) as room:
        [outcome] = room.run([task])
        expected = _tokens(outcome)
    with engine_room(tmp_path, MODEL) as room:
        room.host.recover({task.task_id})
        assert _tokens(room.run([task])[0]) == expected
        assert (room.host.status().starts, room.host.status().output_tokens) == (0, 0)


def test_what_another_kind_of_engine_made_is_made_again(tmp_path):
    """A receipt names one engine: with other threads it is another."""
    task = _task()
    expected = _uninterrupted(tmp_path, task)
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        _half_done(room, task)
    tokens, made, outcome = _next_process(tmp_path, task, threads=2)
    assert (tokens, made, outcome.resumed) == (expected, sum(map(len, expected)), ())


def test_what_was_made_under_a_strategy_that_is_no_longer_allowed_is_made_again(tmp_path):
    task = _task()
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        _half_done(room, task)
    other = job(MODEL, 1, PROMPTS, params=GREEDY, strategies=("block-32",))
    _, made, outcome = _next_process(tmp_path, other)
    assert (made, outcome.resumed, outcome.run.strategy) == (sum(map(len, _tokens(outcome))), (), "block-32")


def test_a_task_on_which_engines_fail_again_and_again_starts_anew(tmp_path):
    task = _task()
    with engine_room(tmp_path, MODEL, fake_tokens_per_sec=40.0) as room:
        _half_done(room, task)
        _kill_engines(room)
        room.wait([task.task_id])
        before = room.host.status().output_tokens
        [outcome] = room.run([again(task, attempts=2)])
        assert room.host.status().output_tokens - before == sum(map(len, _tokens(outcome)))


def test_what_is_saved_or_lost_is_forgotten(tmp_path):
    saved, lost = _task(), _task(number=2)
    with engine_room(tmp_path, MODEL) as room:
        room.run([saved, lost])
        assert _kept(room, saved) is not None
        room.host.saved([saved.task_id])
        room.host.drop(lost.task_id)
        eventually(lambda: _kept(room, saved) is None and _kept(room, lost) is None, "both are forgotten")
