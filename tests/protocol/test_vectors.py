"""The file that Python and Solidity share says what both compute."""

import json
import runpy
from pathlib import Path

import pytest
from eth_account.messages import encode_typed_data

from protocol.digest import from_hex, keccak, to_hex
from protocol.domain import Domain, separator
from protocol.merkle import batch_root, output_root
from protocol.money import charge_units, release_burn_units
from protocol.priority import priority
from protocol.receipt import Body, Receipt, body_digest, leaf
from protocol.request import MEMBERS, Request, task_id, typed_data

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "digests.json").read_bytes())
DOMAIN = Domain(VECTORS["domain"]["chainId"], VECTORS["domain"]["verifyingContract"])


def request_of(vector):
    values = {field: vector[name] for _, name, field in MEMBERS}
    for kind, _, field in MEMBERS:
        if kind == "bytes32":
            values[field] = from_hex(field, values[field])
    return Request(**values)


def test_the_file_is_what_its_script_writes():
    assert runpy.run_path(str(FOLDER / "make.py"))["encoded"]() == (FOLDER / "digests.json").read_bytes()


def test_the_domain_separator_holds():
    assert to_hex(separator(DOMAIN)) == VECTORS["domain"]["separator"]


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["taskId"][:10])
def test_a_tasks_id_is_the_typed_datas_digest(vector):
    """Checked against eth-account's own EIP-712 encoder."""
    request = request_of(vector)
    message = encode_typed_data(full_message=typed_data(DOMAIN, request))
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    assert to_hex(task_id(DOMAIN, request)) == vector["taskId"] == to_hex(digest)


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["digest"][:10])
def test_bodies_digest_holds(vector):
    body = Body(
        task_id=from_hex("taskId", vector["taskId"]),
        worker=vector["worker"],
        output_root=from_hex("outputRoot", vector["outputRoot"]),
        table_digest=from_hex("tableDigest", vector["tableDigest"]),
        engine_digest=from_hex("engineDigest", vector["engineDigest"]),
        strategy_digest=from_hex("strategyDigest", vector["strategyDigest"]),
        prompt_tokens=vector["promptTokens"],
        started_at_ms=vector["startedAt"],
        finished_at_ms=vector["finishedAt"],
    )
    assert to_hex(body_digest(DOMAIN, body)) == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["batches"], ids=lambda vector: f"{len(vector['leaves'])} receipts")
def test_a_batchs_root_holds(vector):
    receipts = [
        Receipt(from_hex("id", task), from_hex("body", body), tokens)
        for task, body, tokens in zip(
            vector["taskIds"], vector["bodies"], vector["outputTokens"], strict=True
        )
    ]
    leaves = [leaf(receipt) for receipt in receipts]
    assert [to_hex(item) for item in leaves] == vector["leaves"]
    assert to_hex(batch_root(leaves)) == vector["root"]


def test_outputs_money_and_priority_hold():
    for vector in VECTORS["outputs"]:
        assert to_hex(output_root(vector["tokens"])) == vector["root"]
    for vector in VECTORS["charges"]:
        fields = [vector[name] for name in ("maxFee", "flatPercent", "outputTokens", "maxOutputTokens")]
        assert charge_units(*fields) == vector["charge"]
    for vector in VECTORS["releases"]:
        burned = release_burn_units(vector["bond"], vector["heldSecs"], vector["leaseSecs"])
        assert burned == vector["burned"]
    for vector in VECTORS["priorities"]:
        fields = [
            vector[name] for name in ("tipWei", "replicas", "maxOutputTokens", "pricedAt", "time", "ageRate")
        ]
        assert priority(*(int(field) for field in fields)) == int(vector["priority"])
    assert all(len(VECTORS[name]) >= 8 for name in ("outputs", "charges", "releases", "priorities"))
