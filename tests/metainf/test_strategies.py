"""Strategies are data: explicit, distinct, and known by a digest."""

from dataclasses import replace

import pytest

from metainf import DEFAULT_NAME, Strategy, catalogue
from metainf.features import Settings


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
    assert catalogue("cuda", "0.32.0") == ()
    assert catalogue("cpu", "0.31.0") == ()
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
