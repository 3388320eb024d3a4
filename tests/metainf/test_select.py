"""The selector with the shipped meta-model: feasible, deterministic, replayable, quick."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metainf import (
    DEFAULT_NAME,
    SelectionRecord,
    SelectionState,
    Selector,
    Workload,
)
from metainf.errors import (
    MetaModelMissing,
    MetaModelUnreadable,
    NothingFeasible,
    RecordUnreadable,
    StrategyUnknown,
)
from metainf.explain import HEADINGS, explain, rows
from metainf.model import SHIPPED, MetaModel
from metainf.pictures import draw_choice
from tests.metainf.makers import MACHINE, MODEL, STRATEGIES

SELECTOR = Selector.load()

workloads = st.lists(
    st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 50)),
    min_size=1,
    max_size=10,
).map(lambda batch: Workload.from_token_ids([p for p, _ in batch], [n for _, n in batch]))
states = st.builds(
    SelectionState,
    running=st.sampled_from([None, "no longer known", *(strategy.name for strategy in STRATEGIES)]),
    queued_jobs=st.integers(0, 200),
    foregone_secs=st.dictionaries(
        st.sampled_from([strategy.name for strategy in STRATEGIES]), st.floats(0, 20), max_size=3
    ),
    optimism_ratio=st.dictionaries(
        st.sampled_from([strategy.name for strategy in STRATEGIES]), st.floats(0.0001, 0.06), max_size=3
    ),
    budget_secs=st.none() | st.floats(0.01, 100),
    deadline_secs=st.none() | st.floats(0.01, 100),
)


def shared_prefix_batch(prompts: int = 40) -> Workload:
    return Workload.from_token_ids(
        [[*range(10, 110), 500 + i, 600 + i] for i in range(prompts)], [4] * prompts
    )


@given(workloads, states, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_the_candidates_does_not_matter(workload, state, rng):
    shuffled = list(STRATEGIES)
    rng.shuffle(shuffled)
    one = SELECTOR.select(MODEL, MACHINE, workload, state, STRATEGIES)
    other = SELECTOR.select(MODEL, MACHINE, workload, state, shuffled)
    assert other == one
    assert other.record.digest() == one.record.digest()


@given(workloads, states)
@settings(max_examples=40, deadline=None)
def test_a_choice_is_replayed_from_its_record_by_another_selector(workload, state):
    choice = SELECTOR.select(MODEL, MACHINE, workload, state)
    stored = json.loads(json.dumps(choice.record.to_json()))
    record = SelectionRecord.from_json(stored)
    assert record == choice.record
    assert record.digest() == choice.record.digest()
    again = Selector(MetaModel.load(SHIPPED)).replay(record)
    assert again == choice


@given(workloads, states, st.integers(1 << 20, 64 << 20))
@settings(max_examples=60, deadline=None)
def test_only_what_can_run_is_ever_chosen(workload, state, kv_cache_bytes):
    machine = replace(MACHINE, kv_cache_bytes=kv_cache_bytes)
    if kv_cache_bytes // (MODEL.kv_bytes_per_token * 128) * 128 < MODEL.max_model_len:
        allowed = tuple(s.name for s in STRATEGIES if s.engine_args["block_size"] == 128)
        with pytest.raises(NothingFeasible, match="KV cache"):
            SELECTOR.select(MODEL, machine, workload, replace(state, allowed=allowed))
    else:
        choice = SELECTOR.select(MODEL, machine, workload, state)
        assert choice.strategy in STRATEGIES
        assert len(choice.predictions) == len(STRATEGIES)


def test_steps_too_small_for_a_whole_prompt_are_dropped_unless_prefill_is_chunked():
    unchunked = replace(
        STRATEGIES[0],
        name="unchunked",
        engine_args={
            **STRATEGIES[0].engine_args,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": 256,
        },
    )
    choice = SELECTOR.select(
        MODEL, MACHINE, shared_prefix_batch(), SelectionState(), [*STRATEGIES, unchunked]
    )
    assert "unchunked" in dict(choice.record.candidates)
    assert "unchunked" not in {prediction.strategy for prediction in choice.predictions}
    assert f"1 of {len(STRATEGIES) + 1} candidates cannot run this here" in explain(choice)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"memory_bytes": 1 << 20}, "weights and KV cache need"),
        ({"kv_cache_bytes": 1 << 20}, "holds no sequence of 1024"),
    ],
)
def test_a_machine_too_small_for_everything_is_told_why(change, reason):
    with pytest.raises(NothingFeasible) as refused:
        SELECTOR.select(MODEL, replace(MACHINE, **change), shared_prefix_batch(), SelectionState())
    assert reason in str(refused.value.value)
    with pytest.raises(NothingFeasible) as refused:
        SELECTOR.select(MODEL, MACHINE, Workload.from_token_ids([[1] * 1024], [1]), SelectionState())
    assert "1025 tokens exceed the model's window of 1024" in str(refused.value.value)


def test_only_allowed_names_are_candidates_and_an_unknown_one_is_an_error():
    choice = SELECTOR.select(
        MODEL, MACHINE, shared_prefix_batch(), SelectionState(allowed=("seqs-1", "seqs-8"))
    )
    assert {name for name, _ in choice.record.candidates} == {"seqs-1", "seqs-8"}
    with pytest.raises(StrategyUnknown, match="seqs-9"):
        SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), SelectionState(allowed=("seqs-9",)))


def test_a_long_queue_of_shared_prefixes_is_worth_a_restart_to_small_blocks():
    """Of 100 shared tokens blocks of 128 share none and blocks of 32 share 96: measured, several times quicker."""
    queued = SelectionState(running=DEFAULT_NAME, queued_jobs=1000)
    choice = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), queued)
    assert choice.strategy.engine_args["block_size"] == 32
    alone = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), replace(queued, queued_jobs=0))
    assert alone.strategy.name == DEFAULT_NAME


def test_measured_starts_are_used_and_the_workers_own_win_over_them():
    running = SelectionState(running=DEFAULT_NAME)
    by_name = {
        p.strategy: p for p in SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), running).predictions
    }
    assert by_name[DEFAULT_NAME].restart_secs == 0
    assert by_name["compiled"].restart_secs > by_name["block-32"].restart_secs > 1
    own = replace(running, restart_secs={"block-32": 123.0})
    by_name = {p.strategy: p for p in SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), own).predictions}
    assert by_name["block-32"].restart_secs == 123.0


def test_an_engine_that_is_up_beside_the_running_one_is_switched_to_for_nothing_and_the_record_says_so():
    running = SelectionState(running=DEFAULT_NAME, deadline_secs=60.0)
    cold = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), running)
    assert cold.strategy.name == DEFAULT_NAME
    hot = SELECTOR.select(
        MODEL, MACHINE, shared_prefix_batch(), replace(running, resident=("block-32", DEFAULT_NAME))
    )
    assert hot.strategy.name == "block-32"
    assert {p.restart_secs for p in hot.predictions if p.strategy in {"block-32", DEFAULT_NAME}} == {0.0}
    written = json.loads(json.dumps(hot.record.to_json()))
    assert written["state"]["resident"] == ["block-32", DEFAULT_NAME]
    assert SELECTOR.replay(SelectionRecord.from_json(written)).record == hot.record
    lie = {**written, "state": {**written["state"], "resident": []}}
    assert SELECTOR.replay(SelectionRecord.from_json(lie)).record.chosen == DEFAULT_NAME


def test_a_record_of_another_meta_model_or_of_a_changed_strategy_is_refused():
    record = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), SelectionState()).record
    with pytest.raises(MetaModelMissing, match="METAINF-003"):
        SELECTOR.replay(replace(record, meta_model_digest="0x" + "00" * 32))
    changed = [replace(strategy, exact=False) for strategy in STRATEGIES]
    with pytest.raises(StrategyUnknown, match="METAINF-004"):
        SELECTOR.replay(record, changed)


def test_a_record_that_claims_another_choice_does_not_survive_replay():
    record = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), SelectionState()).record
    lie = replace(record, chosen="seqs-1")
    assert SELECTOR.replay(lie).record != lie
    assert lie.digest() != record.digest()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("model"),
        lambda values: values["workload"].update(prompts="many"),
        lambda values: values["state"].update(queued_jobs=1.5),
        lambda values: values.update(extra=1),
        lambda values: values["predictions"][0].pop("bound_secs"),
    ],
)
def test_a_record_of_another_form_is_refused(spoil):
    values = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), SelectionState()).record.to_json()
    values = json.loads(json.dumps(values))
    spoil(values)
    with pytest.raises(RecordUnreadable, match="METAINF-008"):
        SelectionRecord.from_json(values)


def test_explanation_names_the_choice_the_work_and_the_arithmetic():
    choice = SELECTOR.select(
        MODEL, MACHINE, shared_prefix_batch(), SelectionState(running=DEFAULT_NAME, queued_jobs=7)
    )
    text = explain(choice)
    assert text.startswith(f"{choice.strategy.name}: ")
    assert choice.reason_code in text
    assert "40 prompts, 4080 tokens to read, 96% of it shared prefix, at most 160 to write" in text
    table = {row[1]: dict(zip(HEADINGS, row, strict=True)) for row in rows(choice)}
    assert [name for name, row in table.items() if row[""] == "*"] == [choice.strategy.name]
    assert table[DEFAULT_NAME]["ENGINE START"] == "up"
    assert all(row["ENGINE START"].endswith(" / 8") for name, row in table.items() if name != DEFAULT_NAME)
    assert all(row["VS TAKEN"] for name, row in table.items() if name != choice.strategy.name)


def test_a_record_from_before_starts_were_repaid_and_optimism_was_told_apart_is_read_and_replayed():
    """Such a record has neither `foregone_secs` nor `optimism_ratio`, and its digest is in a receipt."""
    record = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), SelectionState(queued_jobs=7)).record
    written = record.to_json()
    assert isinstance(written["state"], dict)
    assert not {"foregone_secs", "optimism_ratio"} & written["state"].keys()
    again = SelectionRecord.from_json(written)
    assert again.digest() == record.digest()
    assert SELECTOR.replay(again).record == record


def test_optimism_turns_a_choice_and_touches_no_prediction_and_the_explanation_says_so():
    state = SelectionState(resident=tuple(strategy.name for strategy in STRATEGIES))
    plain = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), state)
    expected = {each.strategy: each.total_secs for each in plain.predictions}
    second = min(expected.keys() - {plain.strategy.name}, key=lambda name: expected[name])
    hopeful = replace(
        state, optimism_ratio={second: round(1.1 * (1 - expected[plain.strategy.name] / expected[second]), 4)}
    )
    choice = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), hopeful)
    assert choice.strategy.name == second
    assert choice.predictions == plain.predictions
    assert explain(choice).startswith(
        f"{second}: strategies count a little less the less they are known here"
    )
    assert SELECTOR.replay(SelectionRecord.from_json(choice.record.to_json())) == choice


def test_explanation_takes_what_was_foregone_off_the_start():
    state = SelectionState(running=DEFAULT_NAME, queued_jobs=7, foregone_secs={"block-32": 3.0})
    choice = SELECTOR.select(MODEL, MACHINE, shared_prefix_batch(), state)
    start = {row[1]: dict(zip(HEADINGS, row, strict=True))["ENGINE START"] for row in rows(choice, shown=99)}
    secs = {each.strategy: each.restart_secs for each in choice.predictions}
    assert start["block-32"] == f"({secs['block-32']:.3g} s - 3 s) / 8"
    assert start["seqs-8"] == f"{secs['seqs-8']:.3g} s / 8"


@pytest.mark.parametrize("name", ["choice.png", "choice.svg"])
def test_a_choice_is_drawn_the_same_each_time(name, tmp_path):
    choice = SELECTOR.select(
        MODEL, MACHINE, shared_prefix_batch(), SelectionState(queued_jobs=7, budget_secs=2.0)
    )
    for folder in ("one", "other"):
        draw_choice(choice, tmp_path / folder / name)
    drawn = (tmp_path / "one" / name).read_bytes()
    assert len(drawn) > 5_000
    if name.endswith(".png"):
        assert drawn == (tmp_path / "other" / name).read_bytes()


def test_meta_model_files_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(MetaModelUnreadable, match="METAINF-002"):
        MetaModel.load(tmp_path / "absent.json")
    for text in ("", "[]", '{"format": "other"}', '{"format": "quern-meta-model-2"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(MetaModelUnreadable):
            MetaModel.load(tmp_path / "bad.json")


def test_selection_is_the_same_for_the_same_tokens_in_any_order():
    rng = random.Random(0)
    prompts = [[rng.randrange(99) for _ in range(20)] for _ in range(9)]
    forwards = Workload.from_token_ids(prompts, [5] * 9)
    backwards = Workload.from_token_ids(prompts[::-1], [5] * 9)
    state = SelectionState()
    assert (
        SELECTOR.select(MODEL, MACHINE, forwards, state).record.digest()
        == SELECTOR.select(MODEL, MACHINE, backwards, state).record.digest()
    )


@pytest.mark.parametrize(
    "lie",
    [
        {"workload": {"prompts": 0}},
        {"workload": {"prompts": -1}},
        {"workload": {"concurrency": 0}},
        {"workload": {"shared_tokens": []}},
        {"workload": {"shared_tokens": [2**40] * 5}},
        {"workload": {"prompt_quantiles": [1]}},
        {"workload": {"output_quantiles": [1] * 9}},
        {"hardware": {"memory_bytes_per_s": 0}},
        {"state": {"queued_jobs": -1}},
    ],
    ids=str,
)
def test_recorded_facts_that_no_machine_or_task_can_have_are_refused(lie):
    workload = Workload.from_token_ids([(1, 2, 3)], [8])
    record = SELECTOR.select(MODEL, MACHINE, workload, SelectionState()).record.to_json()
    for part, changes in lie.items():
        honest = record[part]
        assert isinstance(honest, dict)
        record[part] = {**honest, **changes}
    with pytest.raises(RecordUnreadable):
        SELECTOR.replay(SelectionRecord.from_json(record))
