"""Tokens on disk: what a later process reads is what an earlier one wrote, whatever happened to the file's end."""

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from engine.base import Completion
from worker.kept import Kept
from worker.progress import ProgressLog
from worker.run import Run

RUN = Run("seqs-8", "0x" + "ab" * 32, "it is quickest", 1.5, b'{"chosen":"seqs-8"}', b'{"engine":"fake"}')
ONE, OTHER = b"\x01" * 32, b"\x02" * 32


def _end(ids: tuple[int, ...]) -> Completion:
    return Completion("x", ids, "stop", None, 4, 10.0, 10.5, 11.0)


def _written(path: Path) -> Kept:
    """A log with one task: its first prompt through, its second under way."""
    log = ProgressLog(path)
    kept = log.begin(ONE, RUN, 9.0)
    log.tokens(kept, 0, (1, 2))
    log.tokens(kept, 1, (7,))
    log.flush()
    log.tokens(kept, 0, (3,))
    log.end(kept, 0, _end((1, 2, 3)))
    log.tokens(kept, 1, (8, 9))
    log.flush()
    return kept


def _read(path: Path) -> Kept | None:
    return ProgressLog(path).of(ONE)


def test_what_is_read_is_what_was_written(tmp_path):
    written, read = _written(tmp_path / "log"), _read(tmp_path / "log")
    assert read is not None
    assert (read.run, read.started_at, read.tokens) == (RUN, written.started_at, {0: [1, 2, 3], 1: [7, 8, 9]})
    assert read.completions == {0: replace(_end((1, 2, 3)), request_id="")}
    # And once more, from the file that reading wrote anew.
    assert _read(tmp_path / "log") == read


def test_what_was_not_flushed_is_lost_and_nothing_else(tmp_path):
    log = ProgressLog(tmp_path / "log")
    kept = log.begin(ONE, RUN, 9.0)
    log.tokens(kept, 0, (1, 2))
    log.flush()
    log.tokens(kept, 0, (3,))
    read = _read(tmp_path / "log")
    assert read is not None
    assert read.tokens == {0: [1, 2]}


def test_at_every_length_of_a_torn_file_the_tokens_are_a_beginning_of_the_true_ones(tmp_path):
    path = tmp_path / "log"
    _written(path)
    whole, true = path.read_bytes(), {0: [1, 2, 3], 1: [7, 8, 9]}
    lengths = set()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        read = _read(path)
        tokens = {} if read is None else read.tokens
        assert all(ids == true[place][: len(ids)] for place, ids in tokens.items())
        lengths.add(sum(map(len, tokens.values())))
    assert lengths == {0, 3, 6}


def test_a_spoiled_byte_ends_the_reading_there(tmp_path):
    path = tmp_path / "log"
    _written(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        read = _read(path)
        assert read is None or read.tokens in ({0: [1, 2], 1: [7]}, {0: [1, 2, 3], 1: [7, 8, 9]})


@pytest.mark.parametrize("content", [b"", b"\n", b"no log\n", b"00000000 [1,[]]\n", os.urandom(999)])
def test_a_file_that_is_none_of_ours_holds_nothing_and_is_written_over(tmp_path, content):
    path = tmp_path / "log"
    path.write_bytes(content)
    assert _read(path) is None
    _written(path)
    assert _read(path) is not None


def test_taking_up_again_cuts_unfinished_prompts_and_is_remembered(tmp_path):
    path = tmp_path / "log"
    _written(path)
    log = ProgressLog(path)
    kept = log.of(ONE)
    assert kept is not None
    log.again(kept, {1: 2})
    log.tokens(kept, 1, (5,))
    log.flush()
    read = _read(path)
    assert read is not None
    assert read.tokens == {0: [1, 2, 3], 1: [7, 8, 5]}
    assert [(each.prompts, each.tokens) for each in read.resumed] == [(1, 5)]
    log = ProgressLog(path)
    kept = log.of(ONE)
    assert kept is not None
    log.again(kept, {})
    assert kept.tokens == {0: [1, 2, 3]}


def test_tasks_that_are_saved_leave_the_file_and_it_does_not_grow(tmp_path):
    path = tmp_path / "log"
    log = ProgressLog(path)
    sizes = []
    for number in range(400):
        task = number.to_bytes(32, "big")
        kept = log.begin(task, RUN, 9.0)
        log.tokens(kept, 0, tuple(range(100)))
        log.end(kept, 0, _end(tuple(range(100))))
        log.flush()
        log.forget([task])
        log.flush()
        sizes.append(path.stat().st_size)
    assert max(sizes) < 100_000
    assert ProgressLog(path).of(ONE) is None


def test_only_tasks_that_are_still_to_be_run_are_kept(tmp_path):
    path = tmp_path / "log"
    _written(path)
    log = ProgressLog(path)
    log.begin(OTHER, RUN, 9.0)
    log.keep_only({OTHER})
    assert log.of(ONE) is None
    assert log.of(OTHER) is not None


def test_a_full_disk_stops_the_writing_and_not_the_work_and_later_everything_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.progress._RETRY_SECS", 0.0)
    path = tmp_path / "log"
    kept_size = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = ProgressLog(path)
    kept = log.begin(ONE, RUN, 9.0)
    log.tokens(kept, 0, (1,))
    log.flush()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, kept_size[1]))
        for token in range(2, 50):
            log.tokens(kept, 0, (token,))
            log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept_size)
    log.tokens(kept, 0, (50,))
    log.flush()
    read = _read(path)
    assert read is not None
    assert read.tokens == {0: list(range(1, 51))}
