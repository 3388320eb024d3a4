"""What is filled into a form comes out as canonical JSON of the whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.batchfile import OutputEntry, write_output
from protocol.digest import NotCanonical, canonical_json, canonical_text
from protocol.form import Form, blank

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS, st.integers(0, 2**53 - 1))
def test_a_filled_form_is_the_canonical_json_of_what_it_says(text, number):
    form = Form({"z": blank("text"), "%s": ["100 %", blank("number")], "a": {"é": blank("text")}})
    wanted = {"z": text, "%s": ["100 %", number], "a": {"é": text}}
    assert form.filled(text=canonical_text(text), number=number) == canonical_json(wanted)


def test_a_blank_left_open_is_a_mistake():
    with pytest.raises(KeyError, match="number"):
        Form([blank("number")]).filled()


def test_half_a_surrogate_pair_has_no_canonical_form():
    with pytest.raises(NotCanonical):
        Form([blank("text")]).filled(text=canonical_text("\ud800"))


@given(TEXTS, st.lists(st.integers(0, 2**32 - 1)), st.booleans())
def test_output_lines_are_canonical(text, tokens, is_chat):
    entry = OutputEntry(text, text, tuple(tokens), "stop", 3, is_chat=is_chat)
    for line in write_output([entry, entry]).split(b"\n")[:-1]:
        assert canonical_json(json.loads(line)) == line
