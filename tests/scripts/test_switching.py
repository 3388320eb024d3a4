"""The bench of a stream of jobs: its selector learns along the stream as the worker does, here from made-up seconds."""

from dataclasses import replace

import numpy as np
import pytest

from metainf import DEFAULT_NAME, SelectionState, Selector
from metainf.residents import spent
from metainf.workloads import Batch
from scripts.bench.switching_jobs import Job, Measured
from scripts.bench.switching_stream import Learning, Selecting, Setting, Site, followed, streamed
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES

NAMES = (DEFAULT_NAME, "block-32", "ngram-4")
SITE = Site(Selector.load(), MODEL, MACHINE, tuple(each for each in STRATEGIES if each.name in NAMES))
PROMPTS = tuple(tuple(9 + 31 * place + step for step in range(40)) for place in range(8))
SAMPLED, GREEDY = (Job("made up", (Batch(PROMPTS, (48,) * 8, temperature),), 0) for temperature in (1.0, 0.0))
JOBS = (SAMPLED, GREEDY)
LEARNING = Learning(every_secs=20.0, window_secs=5.0)
SETTING = Setting(times=30, rounds=4, room=3, ahead=1, learning=LEARNING)
STREAM = streamed(JOBS, SETTING.times, SETTING.rounds)


@pytest.fixture(scope="module")
def measured():
    """As expected, but that `ngram-4`, taken for what is greedy, takes four times as long; quick starts."""
    rows = []
    for job in JOBS:
        choice = SITE.chooser().choose_for(MODEL, job.workload, SelectionState())
        secs = {each.strategy: each.total_secs for each in choice.predictions}
        rows.append([secs[name] * (4.0 if name == "ngram-4" else 1.0) for name in NAMES])
    return Measured(NAMES, np.array(rows), np.ones(len(NAMES)))


def taken(of, learning):
    way = Selecting(SITE, JOBS, learning)
    return followed(of, STREAM, SETTING, dict.fromkeys(NAMES, 1.0), way), way.times_corrected


def total_secs(of, found):
    return spent(of.secs[list(STREAM.places)], of.starts, found, SETTING.room).total_secs


def share_of_default(found):
    """Of the greedy jobs of the stream's second half."""
    half = len(STREAM) // 2
    later = zip(STREAM.places[half:], found[half:], strict=True)
    return np.mean([NAMES[each] == DEFAULT_NAME for place, each in later if JOBS[place] is GREEDY])


def test_a_wrong_prediction_is_mended_along_the_stream(measured):
    (learned, corrected), (frozen, never) = taken(measured, LEARNING), taken(measured, None)
    assert (corrected > 3, never) == (True, 0)
    assert NAMES.index("ngram-4") in learned, "it had to be tried"
    assert share_of_default(frozen) < 0.1
    assert share_of_default(learned) > 0.7
    assert total_secs(measured, learned) < 0.8 * total_secs(measured, frozen)


def test_what_was_not_taken_teaches_nothing(measured):
    found, _ = taken(measured, LEARNING)
    tried = {(place, strategy) for place, strategy in zip(STREAM.places, found, strict=True)}
    secs = measured.secs.copy()
    for place, strategy in np.ndindex(*secs.shape):
        if (place, strategy) not in tried:
            secs[place, strategy] *= 9
    assert not np.array_equal(secs, measured.secs)
    assert taken(replace(measured, secs=secs), LEARNING)[0] == found


def test_nothing_is_learned_before_it_has_settled(measured):
    frozen, _ = taken(measured, None)
    assert taken(measured, Learning(every_secs=20.0, window_secs=3600.0)) == (frozen, 0)
    assert taken(measured, Learning(every_secs=3600.0, window_secs=5.0)) == (frozen, 0)


def test_a_look_teaches_of_what_had_settled_when_it_was_due():
    """Jobs of a second and a start of one: of five seconds' worth at ten, four ended that had settled by then."""
    way = Selecting(SITE, (GREEDY,), Learning(every_secs=10.0, window_secs=5.0))
    state = SelectionState(resident=NAMES)
    for place in range(12):
        way.take(0, state)
        way.told(0.0 if place else 1.0, 1.0)
    (corrector,) = way.correctors.values()
    assert [each.at for each in corrector.residuals] == [2.0, 3.0, 4.0, 5.0]
