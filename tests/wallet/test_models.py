"""A model is named by what this machine calls it, by an announced name, or by its id."""

from pathlib import Path

import pytest

from wallet.models import (
    DamagedModelList,
    ModelList,
    ModelNeverAnnounced,
    ModelNotNamed,
    Registered,
    announced_name,
    announced_uri,
    choose,
)

A, B = b"\xaa" * 32, b"\xbb" * 32
ANNOUNCED = {A: announced_uri(A, "demo"), B: announced_uri(B, "other one")}


def test_the_announced_uri_carries_key_and_name():
    assert announced_uri(A, "org/my model").startswith(f"models/{A.hex()}/manifest.json#")
    assert announced_name(announced_uri(A, "org/my model")) == "org/my model"
    assert announced_name("ipfs://x") == ""


def test_an_announced_uri_that_is_no_address_keeps_nobody_from_choosing():
    assert choose("demo", {**ANNOUNCED, b"\xcc" * 32: "http://[#x"}, ()) == A


def test_the_only_announced_model_needs_no_name():
    assert choose(None, {A: "x"}, ()) == A
    with pytest.raises(ModelNotNamed, match="demo, other one"):
        choose(None, ANNOUNCED, ())


@pytest.mark.parametrize("text", ["demo", "0x" + "aa" * 32, "0xaaaa", "AAAA"])
def test_a_name_an_id_or_its_beginning_chooses(text):
    assert choose(text, ANNOUNCED, ()) == A


@pytest.mark.parametrize("text", ["nope", "0xaa", "0xcccc", ""])
def test_a_model_never_announced_is_refused(text):
    with pytest.raises(ModelNeverAnnounced, match="announced are demo, other one"):
        choose(text, ANNOUNCED, ())
    with pytest.raises(ModelNeverAnnounced, match="none is announced"):
        choose(text, {}, ())


def test_a_name_of_this_machine_goes_before_one_somebody_announced():
    squatted = {A: "x", B: announced_uri(B, "mine")}
    assert choose("mine", squatted, (Registered("mine", Path("/m"), A),)) == A


def test_two_announcements_of_one_name_are_told_apart_by_id():
    with pytest.raises(ModelNotNamed, match="0xaaaa"):
        choose("same", {A: announced_uri(A, "same"), B: announced_uri(B, "same")}, ())


def test_a_registered_model_takes_the_place_of_its_namesake(tmp_path):
    models = ModelList(tmp_path / "home" / "models.json")
    models.add(Registered("demo", Path("/old"), A))
    models.add(Registered("demo", Path("/new"), B))
    models.add(Registered("again", Path("/again"), B))
    assert models.all() == (Registered("again", Path("/again"), B),)
    assert models.of(A) is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"name": "x"}]'])
def test_an_unreadable_list_says_so(tmp_path, content):
    path = tmp_path / "models.json"
    path.write_text(content)
    with pytest.raises(DamagedModelList):
        ModelList(path).all()
