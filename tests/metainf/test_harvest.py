"""From receipts to measurements: what ran alone, what is complete, nobody's word above the others'."""

from dataclasses import replace
from math import exp, log
from random import Random

import pytest

from metainf import SelectionState, Selector, Workload
from metainf.challenge import challenge, joined_digest
from metainf.choice import SelectionRecord
from metainf.costs import costs, recorded_strategy
from metainf.errors import RecordUnreadable, TooFewMeasurements
from metainf.harvest import LEAST_KEPT, Job, Served, harvest, jobs, residual
from metainf.model import SHIPPED_TABLE, MetaModel
from metainf.roofline import Roofline
from metainf.settings import Settings
from metainf.table import read_table, write_table
from metainf.train import train_rows
from protocol.domain import Domain
from protocol.receipt import Body, ReceiptDocument, TableRow
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES, of_few_tasks

SELECTOR = Selector.load()
NOTHING = SelectionState()
ENGINE = {"engine": "vllm", "version": "0.32.0", "dtype": "float32"}


def choice(prompts=4, tokens=30, state=NOTHING):
    work = Workload.from_token_ids([[7 + place] * tokens for place in range(prompts)], [8] * prompts)
    return SELECTOR.select(MODEL, MACHINE, work, state, STRATEGIES)


def served(number, at=0.0, secs=1.0, record=None, worker="0xA", prompts=4, tokens=30):
    return Served(
        task_id=number.to_bytes(32, "big"),
        worker=worker,
        record=record or choice(prompts, tokens).record,
        prompts=prompts,
        prompt_tokens=prompts * tokens,
        output_tokens=8 * prompts,
        started_at=at,
        finished_at=at + secs,
        first_token_secs=secs / 4,
        engine=ENGINE,
        start_secs=5.0,
    )


def test_a_job_becomes_a_row_that_costs_what_the_clock_said():
    (job,) = jobs([served(1, at=100.0, secs=2.0)])
    found = harvest([job])
    (cost,) = costs(found.rows)
    assert cost.total_secs == pytest.approx(2.0)
    assert cost.prefill_secs == pytest.approx(0.5)
    assert cost.strategy.name == job.record.chosen
    assert cost.workload == job.record.workload


def test_the_parts_of_one_batch_are_one_job_and_half_a_batch_is_none():
    record = choice(prompts=4).record
    parts = [served(number, record=record, prompts=2, secs=1.0 + number) for number in (1, 2)]
    (whole,) = jobs(parts)
    assert whole.secs == 3.0
    assert jobs(parts[:1]) == []


def test_a_batch_of_which_a_part_was_taken_up_after_a_crash_measures_no_strategy():
    record = choice(prompts=4).record
    parts = [served(number, record=record, prompts=2) for number in (1, 2)]
    assert len(jobs(parts)) == 1
    assert jobs([parts[0], replace(parts[1], resumed=True)]) == []


def test_a_task_told_twice_counts_once():
    assert len(jobs([served(1), served(1)])) == 1


def test_jobs_that_shared_the_machine_tell_nothing():
    inside = [served(1, at=0.0, secs=10.0), served(2, at=2.0, secs=1.0), served(3, at=9.0, secs=2.0)]
    assert jobs([*inside, served(4, at=20.0)]) == jobs([served(4, at=20.0)])
    assert len(jobs([served(1, at=0.0, secs=10.0), served(2, at=2.0, worker="0xB")])) == 2


def test_no_worker_outweighs_the_others():
    many = [served(number, at=10.0 * number, worker="0xA") for number in range(400)]
    few = [served(1000 + number, at=10.0 * number, worker=f"0x{number % 3}") for number in range(30)]
    found = harvest(jobs([*many, *few]))
    assert len(found.rows) == LEAST_KEPT + 30
    assert found.beyond_share == 400 - LEAST_KEPT
    latest = [row.measured_at for row in found.rows if row.platform == "0xA"]
    assert max(latest) == "1970-01-01T01:06:31+00:00", "the latest are kept"


def test_a_strategy_nobody_knows_is_counted_and_left_out():
    job = jobs([served(1)])[0]
    stranger = replace(job.record, chosen_digest="0x" + "ab" * 32)
    found = harvest([Job((replace(job.parts[0], record=stranger),))])
    assert (found.rows, found.unknown_strategy) == ((), 1)


@pytest.mark.parametrize(
    ("part", "fact", "value"),
    [
        ("model", "heads", 0),
        ("model", "parameters", -1),
        ("model", "layers", 2**53 - 1),
        ("workload", "concurrency", 0),
        ("workload", "output_quantiles", (2**53 - 1,) * 4),
        ("hardware", "memory_bytes", -1),
        ("hardware", "peak_flops", 0),
    ],
)
def test_facts_of_no_machine_and_no_model_are_counted_and_spoil_no_training(part, fact, value):
    record = choice().record
    made_up = replace(record, **{part: replace(getattr(record, part), **{fact: value})})
    assert SelectionRecord.from_json(made_up.to_json()) == made_up, "a stranger can write it down"
    found = harvest(jobs([served(1, record=made_up), served(2, at=5.0)]))
    assert (len(found.rows), found.impossible_facts) == (1, 1)


def document(started_at_ms, finished_at_ms):
    record = choice().record
    body = Body(
        *(bytes(32), "0x" + "11" * 20, bytes(32), bytes(32), bytes(32), bytes(32), 120),
        started_at_ms,
        finished_at_ms,
    )
    rows = (TableRow(8, "stop"),) * 4
    return ReceiptDocument(Domain(1, "0x" + "22" * 20), body, 32, rows, ENGINE, record.to_json(), {})


def test_times_that_no_calendar_has_make_one_receipt_useless_and_no_harvest_fail():
    assert Served.of(document(1_000, 3_000)).finished_at == 3.0
    for started_at_ms, finished_at_ms in ((0, 2**64 - 1), (2**63, 2**63 + 1), (3_000, 1_000)):
        with pytest.raises(RecordUnreadable, match="finished_at_ms"):
            Served.of(document(started_at_ms, finished_at_ms))


def test_the_residual_is_the_meta_models_own_whatever_it_was_corrected_by():
    taken = choice().strategy
    plain = jobs([served(1, secs=2.0)])[0]
    assert residual(plain, taken).log_ratio == pytest.approx(log(2.0 / plain.predicted.total_secs))
    corrected = choice(state=SelectionState(corrections_log={"": 0.5})).record
    again = jobs([served(2, secs=2.0, record=corrected)])[0]
    assert residual(again, taken).log_ratio == pytest.approx(residual(plain, taken).log_ratio, abs=1e-4)


def by_roofline(rows):
    """The same runs, each taking three times what its roofline says: whatever a table holds, there is no more to it."""
    timed = []
    for row in rows:
        settings = Settings.of(recorded_strategy(row))
        secs = 3 * Roofline(row.model, row.hardware, row.workload).plan(settings).total_secs
        timed.append(
            replace(row, cpu_secs=secs, wall_secs=secs, prefill_wall_secs=secs / 2, load_average=0.0)
        )
    return timed


def harvested(rows, path, promised=1.0, slower=2.0, every_model_new=False, jobs_made=75):
    """Tasks as if a worker had served them on a machine whose data sheet promises so many times the table's speed, and
    which took so many times the table's seconds. Models are the table's, or each job's is of a shape no other has.
    """
    rng = Random(0)
    found = [cost for cost in costs(rows) if cost.total_secs is not None]
    parts = []
    for number in range(jobs_made):
        cost = rng.choice(found)
        work = cost.workload
        machine = replace(
            cost.hardware,
            name="another",
            memory_bytes_per_s=round(promised * cost.hardware.memory_bytes_per_s),
            peak_flops=round(promised * cost.hardware.peak_flops),
        )
        model = replace(cost.model, vocab=cost.model.vocab + number) if every_model_new else cost.model
        taken = SELECTOR.select(model, machine, work, SelectionState(), [cost.strategy]).record
        assert cost.total_secs is not None
        secs = slower * cost.total_secs * exp(rng.gauss(0, 0.02))
        parts.append(
            replace(
                served(number, at=1000.0 * number, secs=secs),
                record=taken,
                prompts=work.prompts,
                prompt_tokens=work.prompt_tokens,
            )
        )
    write_table(harvest(jobs(parts)).rows, path)


def test_a_challenger_takes_over_only_where_corrections_do_not_help(tmp_path):
    rows = by_roofline(of_few_tasks(read_table(SHIPPED_TABLE), 16))
    table = tmp_path / "table.parquet"
    write_table(rows, table)
    champion = train_rows(rows, joined_digest((table,)))
    harvested(rows, tmp_path / "new.parquet", promised=2.0, slower=1.0, every_model_new=True)
    better = challenge(champion, table, tmp_path / "new.parquet")
    assert better.verdict.promoted
    assert better.learned is not None
    assert better.learned.provenance["table_sha256"] == joined_digest((table, tmp_path / "new.parquet"))
    # The data sheet does not tell this machine from the table's: only its own jobs do.
    harvested(rows, tmp_path / "known.parquet")
    known = challenge(champion, table, tmp_path / "known.parquet")
    assert known.learned is None
    assert known.verdict.champion_error < log(2) / 4


def test_a_handful_of_jobs_decides_nothing(tmp_path):
    harvested(read_table(SHIPPED_TABLE), tmp_path / "few.parquet", jobs_made=30)
    with pytest.raises(TooFewMeasurements, match="harvested jobs"):
        challenge(MetaModel.load(), SHIPPED_TABLE, tmp_path / "few.parquet")
