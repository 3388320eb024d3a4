"""Writes digests.json, the vectors that the Python and the Solidity tests both read.

Run from anywhere: python tests/vectors/make.py
"""

import json
import random
from dataclasses import replace
from pathlib import Path

from protocol.abi import checksum_address
from protocol.digest import ZERO_DIGEST, JsonValue, canonical_json, sha256, to_hex
from protocol.domain import Domain, separator
from protocol.evidence import leaf_count, make_answer
from protocol.merkle import batch_root, output_leaves, output_root
from protocol.money import charge_units, demand_share, lost_challenge, release_burn_units, slash
from protocol.panel import vote_digest
from protocol.priority import priority
from protocol.receipt import Body, Receipt, body_digest, commitment, leaf, replica_salt, verdict
from protocol.request import MEMBERS, Request, as_tuple, cancel_digest, task_id

FILE = Path(__file__).with_name("digests.json")
SEED = 20_240_601
DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
BATCH_SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 32)
OUTPUT_SIZES = (0, 1, 31, 32, 33, 64, 65, 200)
_ONES = b"\xff" * 32
# The smallest, the largest that a bond (16 bits of 64) can be, and what does not divide.
_BONDS = (0, 1, 2, 3, 7, 1_000_001, (1 << 64) - 1, ((1 << 16) - 1) * ((1 << 64) - 1))
_EXTREME_BODIES = (
    Body(ZERO_DIGEST, "0x" + "0" * 40, ZERO_DIGEST, ZERO_DIGEST, ZERO_DIGEST, ZERO_DIGEST, 0, 0, 0),
    Body(
        _ONES,
        checksum_address(_ONES[:20]),
        _ONES,
        _ONES,
        _ONES,
        _ONES,
        (1 << 32) - 1,
        (1 << 64) - 1,
        (1 << 64) - 1,
    ),
)


def vectors() -> dict[str, JsonValue]:
    """Every digest the two languages must agree on, over ordinary and extreme values."""
    dice = random.Random(SEED)
    requests = [_request(dice) for _ in range(6)]
    requests += [_extreme_request(dice, high=False), _extreme_request(dice, high=True)]
    return {
        "domain": {
            "name": "Quern InferenceMarket",
            "version": "1",
            "chainId": DOMAIN.chain_id,
            "verifyingContract": DOMAIN.market,
            "separator": to_hex(separator(DOMAIN)),
        },
        "requests": [_request_vector(request) for request in requests],
        "bodies": [_body_vector(_body(dice)) for _ in range(4)]
        + [_body_vector(body) for body in _EXTREME_BODIES],
        "batches": [_batch_vector(dice, size) for size in BATCH_SIZES],
        "outputs": [_output_vector(dice, size) for size in OUTPUT_SIZES],
        "charges": [_charge_vector(dice) for _ in range(24)],
        "releases": [_release_vector(dice) for _ in range(16)],
        "slashes": [_slash_vector(bond) for bond in _BONDS],
        "lostChallenges": [
            _lost_vector(bond, winners) for bond in _BONDS[:-1] for winners in (1, 2, 3, 4, 5, 6, 7)
        ],
        "demandShares": [
            _share_vector(fee, winners) for fee in (0, 1, 6, 100, (1 << 64) - 1) for winners in (1, 2, 7)
        ],
        "priorities": [_priority_vector(dice) for _ in range(16)],
        "canonicalJson": [_json_vector(value) for value in _JSON_VALUES],
        "answers": [_answer_vector(dice, size) for size in OUTPUT_SIZES if size],
        "verdicts": [_verdict_vector(dice, body) for body in (*_EXTREME_BODIES, _body(dice), _body(dice))],
        "commitments": [_commitment_vector(*values) for values in _commitments(dice)],
        "cancels": [_cancel_vector(digest) for digest in (ZERO_DIGEST, _ONES, dice.randbytes(32))],
        "votes": [_vote_vector(dice, faulty=faulty) for faulty in (True, False)],
    }


def encoded() -> bytes:
    return (json.dumps(vectors(), indent=1) + "\n").encode()


def _request(dice: random.Random) -> Request:
    return Request(
        requester=checksum_address(dice.randbytes(20)),
        salt=dice.randbytes(32),
        model_id=dice.randbytes(32),
        input_digest=dice.randbytes(32),
        params_digest=dice.randbytes(32),
        equivalence=dice.choice([ZERO_DIGEST, dice.randbytes(32)]),
        max_fee_units=dice.randrange(1 << 40),
        flat_percent=dice.randrange(101),
        tip_units=dice.randrange(1 << 30),
        max_output_tokens=dice.randrange(1, 1 << 20),
        bond_units=dice.randrange(1, 100),
        deadline=dice.randrange(1_700_000_000, 1_900_000_000),
        lease_secs=dice.randrange(5, 3_600),
        replicas=dice.choice([1, 3, 5, 7]),
        input_uri="inputs/" + dice.randbytes(32).hex(),
    )


def _extreme_request(dice: random.Random, *, high: bool) -> Request:
    digest = b"\xff" * 32 if high else ZERO_DIGEST
    uints = {
        field: (1 << int(kind[4:])) - 1 if high else 0 for kind, _, field in MEMBERS if kind[:4] == "uint"
    }
    return Request(
        requester=checksum_address(digest[:20]),
        salt=dice.randbytes(32),
        model_id=digest,
        input_digest=digest,
        params_digest=digest,
        equivalence=digest,
        input_uri="store://köln/ключ/钥" * 9 if high else "",
        **uints,
    )


def _request_vector(request: Request) -> dict[str, JsonValue]:
    values = zip(MEMBERS, as_tuple(request), strict=True)
    fields = {name: to_hex(value) if isinstance(value, bytes) else value for (_, name, _), value in values}
    return {**fields, "taskId": to_hex(task_id(DOMAIN, request))}


def _body(dice: random.Random) -> Body:
    return Body(
        task_id=dice.randbytes(32),
        worker=checksum_address(dice.randbytes(20)),
        output_root=dice.randbytes(32),
        table_digest=dice.randbytes(32),
        engine_digest=dice.randbytes(32),
        strategy_digest=dice.randbytes(32),
        prompt_tokens=dice.randrange(1 << 32),
        started_at_ms=dice.randrange(1 << 42),
        finished_at_ms=dice.randrange(1 << 42),
    )


def _body_vector(body: Body) -> dict[str, JsonValue]:
    return {
        "taskId": to_hex(body.task_id),
        "worker": body.worker,
        "outputRoot": to_hex(body.output_root),
        "tableDigest": to_hex(body.table_digest),
        "engineDigest": to_hex(body.engine_digest),
        "strategyDigest": to_hex(body.strategy_digest),
        "promptTokens": body.prompt_tokens,
        "startedAt": body.started_at_ms,
        "finishedAt": body.finished_at_ms,
        "digest": to_hex(body_digest(DOMAIN, body)),
    }


def _batch_vector(dice: random.Random, size: int) -> dict[str, JsonValue]:
    receipts = [Receipt(dice.randbytes(32), dice.randbytes(32), dice.randrange(1 << 32)) for _ in range(size)]
    leaves = [leaf(receipt) for receipt in receipts]
    return {
        "taskIds": [to_hex(receipt.task_id) for receipt in receipts],
        "bodies": [to_hex(receipt.body) for receipt in receipts],
        "outputTokens": [receipt.output_tokens for receipt in receipts],
        "leaves": [to_hex(item) for item in leaves],
        "root": to_hex(batch_root(leaves)),
    }


def _output_vector(dice: random.Random, size: int) -> dict[str, JsonValue]:
    tokens = [dice.randrange(1 << 32) for _ in range(size)]
    return {"tokens": tokens, "root": to_hex(output_root(tokens))}


def _answer_vector(dice: random.Random, size: int) -> dict[str, JsonValue]:
    """A leaf of an output, up to its root and, through the receipt, up to the root of a batch."""
    tokens = [dice.choice([0, (1 << 32) - 1, dice.randrange(1 << 32)]) for _ in range(size)]
    body = replace(_body(dice), output_root=output_root(tokens))
    receipt = Receipt(body.task_id, body_digest(DOMAIN, body), size)
    leaves = [leaf(receipt), *(dice.randbytes(32) for _ in range(dice.randrange(6)))]
    dice.shuffle(leaves)
    index = dice.randrange(leaf_count(size))
    answer = make_answer(body, tokens, index, leaves, leaves.index(leaf(receipt)))
    return {
        "body": _body_vector(body),
        "outputTokens": size,
        "leaf": index,
        "tokens": list(answer.tokens),
        "leafHash": to_hex(output_leaves(tokens)[index]),
        "leafPath": [to_hex(node) for node in answer.leaf_path],
        "batchPath": [to_hex(node) for node in answer.batch_path],
        "batchRoot": to_hex(batch_root(leaves)),
    }


def _verdict_vector(dice: random.Random, body: Body) -> dict[str, JsonValue]:
    tokens = dice.choice([0, 1, (1 << 32) - 1])
    return {
        "outputRoot": to_hex(body.output_root),
        "tableDigest": to_hex(body.table_digest),
        "promptTokens": body.prompt_tokens,
        "outputTokens": tokens,
        "verdict": to_hex(verdict(body, tokens)),
    }


def _commitments(dice: random.Random) -> list[tuple[bytes, int, bytes]]:
    ordinary = (dice.randbytes(32), 77, replica_salt(dice.randbytes(32), dice.randbytes(32)))
    return [ordinary, (ZERO_DIGEST, 0, ZERO_DIGEST), (_ONES, (1 << 32) - 1, _ONES)]


def _commitment_vector(body: bytes, tokens: int, salt: bytes) -> dict[str, JsonValue]:
    return {
        "body": to_hex(body),
        "outputTokens": tokens,
        "salt": to_hex(salt),
        "commitment": to_hex(commitment(body, tokens, salt)),
    }


def _cancel_vector(digest: bytes) -> dict[str, JsonValue]:
    return {"taskId": to_hex(digest), "digest": to_hex(cancel_digest(DOMAIN, digest))}


def _vote_vector(dice: random.Random, *, faulty: bool) -> dict[str, JsonValue]:
    panel, member = checksum_address(dice.randbytes(20)), checksum_address(dice.randbytes(20))
    digest, salt = dice.randbytes(32), dice.randbytes(32)
    vote = vote_digest(DOMAIN.chain_id, panel, DOMAIN.market, digest, member=member, faulty=faulty, salt=salt)
    return {
        "chainId": DOMAIN.chain_id,
        "panel": panel,
        "market": DOMAIN.market,
        "taskId": to_hex(digest),
        "member": member,
        "faulty": int(faulty),
        "salt": to_hex(salt),
        "digest": to_hex(vote),
    }


def _slash_vector(bond: int) -> dict[str, JsonValue]:
    split = slash(bond)
    return {
        "bond": str(bond),
        "toChallenger": str(split.to_challenger_units),
        "toArbiter": str(split.to_arbiter_units),
        "burned": str(split.burned_units),
    }


def _lost_vector(bond: int, winners: int) -> dict[str, JsonValue]:
    split = lost_challenge(bond, winners)
    return {
        "bond": str(bond),
        "winners": winners,
        "toEach": str(split.to_each_units),
        "toArbiter": str(split.to_arbiter_units),
        "burned": str(split.burned_units),
    }


def _share_vector(fee: int, winners: int) -> dict[str, JsonValue]:
    each, burned = demand_share(fee, winners)
    return {"fee": str(fee), "winners": winners, "toEach": str(each), "burned": str(burned)}


def _charge_vector(dice: random.Random) -> dict[str, JsonValue]:
    most = dice.choice([1, 7, 4_096, (1 << 32) - 1])
    max_fee = dice.choice([0, 1, 99, dice.randrange(1 << 48), (1 << 48) - 1])
    percent, tokens = dice.choice([0, 1, 33, 100]), dice.choice([0, 1, most // 2, most])
    return {
        "maxFee": max_fee,
        "flatPercent": percent,
        "outputTokens": tokens,
        "maxOutputTokens": most,
        "charge": charge_units(max_fee, percent, tokens, most),
    }


def _release_vector(dice: random.Random) -> dict[str, JsonValue]:
    bond, lease_secs = dice.choice([1, 19, 10**6, dice.randrange(1 << 40)]), dice.randrange(5, 10_000)
    held = dice.choice([0, 1, lease_secs // 20, lease_secs // 2, lease_secs])
    return {
        "bond": bond,
        "heldSecs": held,
        "leaseSecs": lease_secs,
        "burned": release_burn_units(bond, held, lease_secs),
    }


def _priority_vector(dice: random.Random) -> dict[str, JsonValue]:
    tip_wei = dice.choice([0, dice.randrange(1 << 30) * 10**9, ((1 << 48) - 1) * 10**9])
    replicas, most = dice.choice([1, 3, 5, 7]), dice.choice([1, 3, 4_096, (1 << 32) - 1])
    priced_at = dice.randrange(1 << 31)
    now, age_rate = priced_at + dice.randrange(1 << 20), dice.choice([0, 10**9, (1 << 64) - 1])
    return {
        "tipWei": str(tip_wei),
        "replicas": replicas,
        "maxOutputTokens": most,
        "pricedAt": priced_at,
        "time": now,
        "ageRate": str(age_rate),
        "priority": str(priority(tip_wei, replicas, most, priced_at, now, age_rate)),
    }


_JSON_VALUES: tuple[JsonValue, ...] = (
    {},
    {"b": 1, "a": [True, None, "é", "\u20ac", "\x0f"], "😀": 0, "\ufb33": 1},
    [0.0, 1.0, 1e21, 1e-7, 4.5, 0.1, 333333333.3333333, 9007199254740991, 5e-324],
    {"nested": {"z": {}, "y": []}, "": '\u2028</script>\\"\n'},
)


def _json_vector(value: JsonValue) -> dict[str, JsonValue]:
    data = canonical_json(value)
    return {"value": value, "canonical": data.decode(), "sha256": to_hex(sha256(data))}


if __name__ == "__main__":
    FILE.write_bytes(encoded())
