"""The file that Python and Solidity share says what both compute."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account.messages import encode_typed_data

from protocol.digest import from_hex, keccak, to_hex
from protocol.domain import Domain, separator
from protocol.evidence import leaf_length
from protocol.merkle import batch_root, output_root, verify
from protocol.money import charge_units, demand_share, lost_challenge, release_burn_units, slash
from protocol.panel import vote_digest
from protocol.priority import priority
from protocol.receipt import Body, Receipt, body_digest, commitment, leaf, verdict
from protocol.request import MEMBERS, Request, cancel_digest, cancel_typed_data, task_id, typed_data

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


def body_of(vector):
    return Body(
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


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["digest"][:10])
def test_bodies_digest_holds(vector):
    assert to_hex(body_digest(DOMAIN, body_of(vector))) == vector["digest"]


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


@pytest.mark.parametrize("vector", VECTORS["answers"], ids=lambda vector: f"{vector['outputTokens']} tokens")
def test_an_answer_leads_from_its_tokens_to_the_posted_root(vector):
    body, tokens = body_of(vector["body"]), vector["tokens"]
    paths = {name: [from_hex(name, node) for node in vector[name]] for name in ("leafPath", "batchPath")}
    # The leaf by a general encoder of the ABI.
    encoded = keccak(keccak(encode(["uint256", "uint32[]"], [vector["leaf"], tokens])))
    assert to_hex(encoded) == vector["leafHash"]
    assert len(tokens) == leaf_length(vector["outputTokens"], vector["leaf"])
    assert verify(body.output_root, encoded, paths["leafPath"])
    receipt = leaf(Receipt(body.task_id, body_digest(DOMAIN, body), vector["outputTokens"]))
    assert verify(from_hex("root", vector["batchRoot"]), receipt, paths["batchPath"])


def test_verdicts_and_commitments_hold_against_a_general_encoder():
    for vector in VECTORS["verdicts"]:
        words = [from_hex("root", vector["outputRoot"]), from_hex("table", vector["tableDigest"])]
        counts = [vector["promptTokens"], vector["outputTokens"]]
        assert (
            to_hex(keccak(encode(["bytes32", "bytes32", "uint32", "uint32"], words + counts)))
            == vector["verdict"]
        )
        body = replace(body_of(VECTORS["bodies"][0]), output_root=words[0], table_digest=words[1])
        body = replace(body, prompt_tokens=vector["promptTokens"])
        assert to_hex(verdict(body, vector["outputTokens"])) == vector["verdict"]
    for vector in VECTORS["commitments"]:
        body, salt, tokens = (
            from_hex("body", vector["body"]),
            from_hex("salt", vector["salt"]),
            vector["outputTokens"],
        )
        assert to_hex(commitment(body, tokens, salt)) == vector["commitment"]
        assert (
            to_hex(keccak(encode(["bytes32", "uint32", "bytes32"], [body, tokens, salt])))
            == vector["commitment"]
        )


def test_a_cancellation_is_the_typed_datas_digest():
    for vector in VECTORS["cancels"]:
        task = from_hex("task", vector["taskId"])
        message = encode_typed_data(full_message=cancel_typed_data(DOMAIN, task))
        digest = keccak(b"\x19" + message.version + message.header + message.body)
        assert to_hex(cancel_digest(DOMAIN, task)) == vector["digest"] == to_hex(digest)


def test_votes_hold_against_a_general_encoder():
    kinds = ["uint256", "address", "address", "bytes32", "address", "bool", "bytes32"]
    for vector in VECTORS["votes"]:
        task, salt = from_hex("task", vector["taskId"]), from_hex("salt", vector["salt"])
        values: list[Any] = [vector[name] for name in ("chainId", "panel", "market")]
        digest = keccak(encode(kinds, [*values, task, vector["member"], bool(vector["faulty"]), salt]))
        chain_id, panel, market = values
        mine = vote_digest(
            chain_id, panel, market, task, member=vector["member"], faulty=bool(vector["faulty"]), salt=salt
        )
        assert to_hex(mine) == vector["digest"] == to_hex(digest)


def test_splits_of_bonds_and_fees_hold_and_lose_nothing():
    for vector in VECTORS["slashes"]:
        split = slash(int(vector["bond"]))
        assert [str(part) for part in split] == [
            vector[name] for name in ("toChallenger", "toArbiter", "burned")
        ]
        assert sum(split) == int(vector["bond"])
    for vector in VECTORS["lostChallenges"]:
        lost = lost_challenge(int(vector["bond"]), vector["winners"])
        assert [str(part) for part in lost] == [vector[name] for name in ("toEach", "toArbiter", "burned")]
        assert lost.to_each_units * vector["winners"] + sum(lost[1:]) == int(vector["bond"])
    for vector in VECTORS["demandShares"]:
        each, burned = demand_share(int(vector["fee"]), vector["winners"])
        assert (str(each), str(burned)) == (vector["toEach"], vector["burned"])
        assert each * vector["winners"] + burned == int(vector["fee"])
