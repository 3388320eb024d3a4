"""Strategies are data: explicit, distinct, and known by a digest."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import DEFAULT_NAME, Strategy, catalogue
from metainf.canonical import record_digest
from metainf.catalogue import EXTRAS
from metainf.devices import CPU
from metainf.grammar import build
from metainf.model import SHIPPED_TABLE
from metainf.settings import Settings
from metainf.table import read_table
from protocol.digest import canonical_json, sha256_hex


def test_cpu_catalogue_has_at_least_ten_strategies_and_the_default_comes_first(strategies):
    assert len(strategies) >= 10
    assert strategies[0].name == DEFAULT_NAME


def test_papers_arms_are_in_the_catalogue(strategies):
    arms = {
        (s.engine_args["enable_prefix_caching"], s.engine_args["enable_chunked_prefill"])
        for s in strategies
        if s.name.startswith("paper-") or s.name == DEFAULT_NAME
    }
    assert arms == {(False, False), (True, False), (False, True), (True, True)}


def test_every_strategy_says_every_flag_of_the_default(strategies):
    flags = set(strategies[0].engine_args)
    assert {set(strategy.engine_args) == flags for strategy in strategies} == {True}


def test_names_digests_and_settings_are_distinct(strategies):
    assert len({strategy.name for strategy in strategies}) == len(strategies)
    assert len({strategy.digest() for strategy in strategies}) == len(strategies)
    assert len({Settings.of(strategy) for strategy in strategies}) == len(strategies)


def test_other_devices_and_versions_get_no_cpu_strategy():
    assert all(strategy.devices == ("cuda",) for strategy in catalogue("cuda", "0.32.0"))
    assert catalogue("cpu", "0.31.0") == ()
    assert catalogue("tpu", "0.32.0") == ()
    assert catalogue("cpu", "0.32.1+cpu") == catalogue("cpu", "0.32.0")


def test_digest_follows_content_and_neither_order_nor_description(strategies):
    one = strategies[0]
    reordered = replace(one, engine_args=dict(reversed(one.engine_args.items())), description="other words")
    assert reordered.digest() == one.digest()
    assert replace(one, engine_args={**one.engine_args, "max_num_seqs": 2}).digest() != one.digest()
    assert replace(one, exact=not one.exact).digest() != one.digest()


def test_strategy_cannot_be_changed_through_what_it_was_made_from(strategies):
    arguments = dict(strategies[0].engine_args)
    strategy = Strategy("copy", arguments, {}, ("cpu",), "", exact=True, description="")
    before = strategy.digest()
    arguments["max_num_seqs"] = 7
    assert strategy.digest() == before
    with pytest.raises(TypeError):
        strategy.engine_args["max_num_seqs"] = 7  # type: ignore[index]  # the point of the test


def test_arguments_name_the_dtype_because_auto_would_change_precision(strategies):
    arguments = strategies[0].arguments_for("float32", 1 << 20)
    assert arguments["dtype"] == "float32"
    assert arguments["kv_cache_memory_bytes"] == 1 << 20
    assert set(strategies[0].engine_args) < set(arguments)


def test_a_gpu_has_at_least_twelve_strategies_under_both_versions_of_vllm():
    for version in ("0.26.0", "0.32.0"):
        found = catalogue("cuda", version)
        assert len(found) >= 12
        assert found[0].name == DEFAULT_NAME
        assert len({strategy.digest() for strategy in found}) == len(found)
        assert {set(strategy.engine_args) == set(found[0].engine_args) for strategy in found} == {True}
    assert catalogue("cuda", "0.25.1") == ()


def test_what_needs_more_than_vllm_is_named_only_where_that_is_there():
    for device in ("cpu", "cuda"):
        without = {strategy.name for strategy in catalogue(device, "0.32.0")}
        with_it = {strategy.name for strategy in catalogue(device, "0.32.0", EXTRAS)}
        assert with_it - without == {"suffix-24"}


def test_records_that_receipts_name_keep_their_digests():
    """A receipt replays only as long as the catalogue holds the record of its digest."""
    shipped = {row.strategy: row.strategy_digest for row in read_table(SHIPPED_TABLE)}
    known = {strategy.name: strategy.digest() for strategy in catalogue("cpu", "0.32.0", EXTRAS)}
    assert {name: known.get(name) for name in shipped} == shipped


def test_a_drafting_strategy_needs_the_folder_of_its_draft_model():
    drafting = build(CPU, "draft-4")
    with pytest.raises(ValueError, match="draft-4: no draft model"):
        drafting.arguments_for("float32", 1 << 20)
    arguments = drafting.arguments_for("float32", 1 << 20, "/models/small")
    assert arguments["speculative_config"] == {
        "method": "draft_model",
        "num_speculative_tokens": 4,
        "model": "/models/small",
    }


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.text()
        | st.floats(0.001, 1000.0),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="ascii")), inner),
        max_leaves=8,
    )
)
def test_a_digest_without_packages_is_that_of_canonical_json(value):
    record = {"value": value}
    assert record_digest(record) == sha256_hex(canonical_json(record))


@pytest.mark.parametrize("value", [float("nan"), 1e-9, 1e30, b"bytes", {"ü": 1}, {1: 2}])
def test_what_would_be_written_otherwise_is_refused(value):
    with pytest.raises(ValueError, match="record"):
        record_digest({"value": value})
