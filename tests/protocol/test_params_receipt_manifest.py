"""Documents in the store: what is written is read back; what does not match its digest is named."""

import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.digest import JsonValue, MalformedJson, canonical_json, json_digest
from protocol.domain import Domain
from protocol.manifest import (
    MalformedManifest,
    Manifest,
    ModelMismatch,
    NotAModel,
    build_manifest,
    model_id,
    verify_dir,
)
from protocol.params import BadParams, GenerationParams
from protocol.receipt import BadReceipt, Body, ReceiptDocument, TableRow, body_digest, table_digest

PARAMS = st.builds(
    GenerationParams,
    max_tokens=st.integers(1, 1 << 20),
    temperature=st.floats(0, 2),
    top_p=st.floats(1e-6, 1),
    top_k=st.integers(0, 1 << 20),
    presence_penalty=st.floats(-2, 2),
    frequency_penalty=st.floats(-2, 2),
    repetition_penalty=st.floats(0.01, 10),
    stop=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9), max_size=4).map(
        tuple
    ),
    seed=st.integers(0, 2**53 - 1),
)


@given(PARAMS)
def test_parameters_are_read_back_with_the_same_digest(params):
    found = GenerationParams.decode(params.encoded())
    assert found == params
    assert found.digest() == params.digest()


def test_one_value_has_one_digest_however_it_is_written():
    assert GenerationParams(5, temperature=-0.0) == GenerationParams(5, temperature=0)
    assert GenerationParams(5, temperature=-0.0).digest() == GenerationParams(5).digest()
    assert GenerationParams.decode(b'{"max_tokens": 5, "top_p": 1}').digest() == GenerationParams(5).digest()
    assert GenerationParams(5).greedy
    assert not GenerationParams(5, temperature=0.1).greedy


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"max_tokens":0}',
        b'{"max_tokens":1.5}',
        b'{"max_tokens":true}',
        b'{"max_tokens":99999999}',
        b'{"max_tokens":5,"temperature":-1}',
        b'{"max_tokens":5,"temperature":"hot"}',
        b'{"max_tokens":5,"temperature":true}',
        b'{"max_tokens":5,"top_p":0}',
        b'{"max_tokens":5,"top_k":-1}',
        b'{"max_tokens":5,"repetition_penalty":0}',
        b'{"max_tokens":5,"stop":"end"}',
        b'{"max_tokens":5,"stop":[""]}',
        b'{"max_tokens":5,"stop":[1]}',
        b'{"max_tokens":5,"seed":-1}',
        b'{"max_tokens":5,"best_of":2}',
    ],
)
def test_unservable_parameters_are_refused(data):
    with pytest.raises(BadParams):
        GenerationParams.decode(data)


DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
TABLE = (TableRow(3, "stop"), TableRow(0, "error"), TableRow(9, "length"))


def document():
    engine: dict[str, JsonValue] = {"engine": "vllm", "version": "0.32.0"}
    selection: dict[str, JsonValue] = {"chosen": "vllm-default", "seconds": 0.25}
    body = Body(
        task_id=b"\1" * 32,
        worker="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        output_root=b"\2" * 32,
        table_digest=table_digest(TABLE),
        engine_digest=json_digest(engine),
        strategy_digest=json_digest(selection),
        prompt_tokens=77,
        started_at_ms=1_700_000_000_000,
        finished_at_ms=1_700_000_001_000,
    )
    return ReceiptDocument(DOMAIN, body, 12, TABLE, engine, selection, {"queued_secs": 0.5})


def test_a_receipt_is_read_back_and_agrees_with_itself():
    found = ReceiptDocument.decode(document().encoded())
    found.check()
    assert found == document()
    assert found.receipt().body == body_digest(DOMAIN, document().body)
    assert found.receipt().output_tokens == 12


def test_a_receipt_is_stored_as_canonical_json():
    encoded = document().encoded()
    assert canonical_json(json.loads(encoded)) == encoded


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"engine": {"engine": "fake"}}, "engine_digest"),
        ({"selection": {}}, "strategy_digest"),
        ({"table": (*TABLE, TableRow(0, "stop"))}, "table_digest"),
        ({"output_tokens": 13}, "output_tokens"),
    ],
)
def test_a_receipt_that_contradicts_itself_is_refused(change, field):
    with pytest.raises(BadReceipt, match=field):
        replace(document(), **change).check()


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("engine"),
        lambda value: value.update(extra=1),
        lambda value: value.update(quern=2),
        lambda value: value.update(output_tokens=-1),
        lambda value: value.update(table=[[1, "bored"]]),
        lambda value: value.update(table=[[True, "stop"]]),
        lambda value: value.update(table={}),
        lambda value: value.update(body=[]),
        lambda value: value["body"].update(worker="0x12"),
        lambda value: value["body"].update(task_id="0x12"),
        lambda value: value["body"].update(started_at_ms=1.5),
        lambda value: value["body"].pop("prompt_tokens"),
    ],
)
def test_a_malformed_receipt_is_refused(change):
    value = json.loads(document().encoded())
    change(value)
    with pytest.raises(ValueError, match=r"RECEIPT|ADDRESS|DIGEST"):
        ReceiptDocument.decode(json.dumps(value).encode())


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"dtype": "bfloat16", "quantization_config": {"quant_method": "awq"}}'
    )
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("a card")
    return folder


def test_a_models_id_depends_on_its_files_and_on_nothing_else(model_dir):
    manifest = build_manifest(model_dir)
    (model_dir / "README.md").write_text("another card")
    copy = shutil.copytree(model_dir, model_dir.parent / "elsewhere")
    assert model_id(build_manifest(copy)) == model_id(manifest)
    (copy / "tokenizer.json").write_text("{} ")
    assert model_id(build_manifest(copy)) != model_id(manifest)


def test_a_manifest_is_read_back_and_its_model_verified(model_dir):
    manifest = Manifest.decode(build_manifest(model_dir).encoded())
    assert manifest == build_manifest(model_dir)
    variant = verify_dir(manifest, model_dir)
    assert (variant.dtype, variant.quantization, variant.kv_dtype) == ("bfloat16", "awq", "auto")


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("tokenizer.json", b"[]", "other bytes"),
        ("model.safetensors", b"other weights", "weights"),
        ("generation_config.json", b"{}", "not in the manifest"),
        ("config.json", None, "missing"),
    ],
)
def test_a_changed_model_is_not_the_model(model_dir, name, content, word):
    manifest = build_manifest(model_dir)
    if content is None:
        (model_dir / name).unlink()
    else:
        (model_dir / name).write_bytes(content)
    with pytest.raises(ModelMismatch, match=word):
        verify_dir(manifest, model_dir)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_half_a_model_has_no_manifest(model_dir, missing):
    (model_dir / missing).unlink()
    with pytest.raises(NotAModel):
        build_manifest(model_dir)


def test_no_directory_and_no_config_have_no_manifest(model_dir):
    with pytest.raises(NotAModel):
        build_manifest(model_dir / "nowhere")
    (model_dir / "config.json").write_text("{")
    with pytest.raises(NotAModel, match=r"config\.json"):
        build_manifest(model_dir)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(quern=2),
        lambda value: value.update(extra=1),
        lambda value: value.update(variants=[]),
        lambda value: value.update(files={}),
        lambda value: value["files"].update({"../config.json": "0x" + "00" * 32}),
        lambda value: value["files"].update({"run.py": "0x" + "00" * 32}),
        lambda value: value["files"].update({"config.json": "0x00"}),
        lambda value: value["variants"][0].update(dtype="float 32"),
        lambda value: value["variants"][0]["files"].update({"pytorch_model.bin": "0x" + "00" * 32}),
        lambda value: value["variants"][0].pop("kv_dtype"),
    ],
)
def test_a_malformed_manifest_is_refused(model_dir, change):
    value = json.loads(build_manifest(model_dir).encoded())
    change(value)
    with pytest.raises(MalformedManifest):
        Manifest.decode(json.dumps(value).encode())


def test_garbage_is_no_document():
    for decode in (Manifest.decode, GenerationParams.decode, ReceiptDocument.decode):
        with pytest.raises(MalformedJson):
            decode(b"\x80PNG")
