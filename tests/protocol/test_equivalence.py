"""A class has one digest however it was written down, and admits exactly the engines that agree with it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digest import MalformedJson, sha256
from protocol.equivalence import BadEquivalence, EquivalenceClass

FACTS = {"engine": "vllm", "version": "0.32.0", "device": "cpu", "dtype": "float32"}
DIGESTS = st.lists(st.binary(min_size=32, max_size=32), max_size=5)


@given(DIGESTS)
def test_the_order_in_which_strategies_are_named_changes_nothing(digests):
    assert EquivalenceClass(FACTS, tuple(digests)) == EquivalenceClass(FACTS, tuple(reversed(digests)))


@given(DIGESTS)
def test_what_is_stored_reads_back_and_hashes_to_the_digest(digests):
    one = EquivalenceClass(FACTS, tuple(digests))
    assert EquivalenceClass.decode(one.encoded()) == one
    assert one.digest() == sha256(one.encoded())


def test_an_engine_belongs_if_every_named_fact_agrees_and_others_may_differ():
    one = EquivalenceClass(FACTS)
    assert one.admits_engine({**FACTS, "maxModelLen": 2048})
    assert not one.admits_engine({**FACTS, "dtype": "bfloat16"})
    assert not one.admits_engine({"engine": "vllm"})


def test_a_class_that_names_strategies_admits_those_and_one_that_names_none_admits_all():
    named, other = bytes([1]) * 32, bytes([2]) * 32
    assert EquivalenceClass(FACTS, (named,)).admits_strategy(named)
    assert not EquivalenceClass(FACTS, (named,)).admits_strategy(other)
    assert EquivalenceClass(FACTS).admits_strategy(other)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"quern": 2, "engine": FACTS, "strategies": []},
        {"quern": 1, "engine": {}, "strategies": []},
        {"quern": 1, "engine": FACTS, "strategies": ["0x12"]},
        {"quern": 1, "engine": FACTS, "strategies": [], "more": 1},
        {"quern": 1, "engine": {str(n): n for n in range(33)}, "strategies": []},
    ],
)
def test_a_file_that_is_no_class_is_refused_by_its_field(value):
    with pytest.raises((BadEquivalence, ValueError)) as refused:
        EquivalenceClass.decode(json.dumps(value).encode())
    assert "give" in str(refused.value)


def test_bytes_that_are_no_json_are_refused():
    with pytest.raises(MalformedJson):
        EquivalenceClass.decode(b"{")
