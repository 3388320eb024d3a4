"""What actors of the market write: requests, results, signatures, evidence. Digests are those of the Python side."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coincurve import PrivateKey

from protocol.abi import uint_word
from protocol.digest import ZERO_DIGEST, keccak
from protocol.domain import Domain, typed_digest
from protocol.merkle import LEAF_TOKENS, hash_pair, output_leaves, output_root, proof
from protocol.receipt import Body, Receipt, body_digest, body_tuple, leaf
from protocol.request import Request, task_id
from tests.contracts.law.asking import Order
from tests.contracts.law.book import Task, Terms

CANCEL_TYPEHASH = keccak(b"Cancel(bytes32 taskId)")
LARGEST_OUTPUT = 70


@dataclass(frozen=True, slots=True)
class Work:
    """A worker's result, true or not: `claimed` tokens is what it bills, `tokens` what it can show."""

    body: Body
    digest: bytes
    tokens: tuple[int, ...]
    claimed: int
    salt: bytes

    @property
    def commitment(self) -> bytes:
        return keccak(self.digest + uint_word(self.claimed) + self.salt)

    @property
    def verdict(self) -> bytes:
        return verdict(self.body, self.claimed)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The answer to a demand, as the market takes it."""

    body: Body
    batch_path: tuple[bytes, ...]
    tokens: tuple[int, ...]
    leaf_path: tuple[bytes, ...]

    def as_tuple(self) -> tuple[object, ...]:
        return body_tuple(self.body), self.batch_path, self.tokens, self.leaf_path


def sound_request(requester: str, now: int, seed: int, replicas: int) -> Request:
    """One that the market takes if the money is there."""
    dice = random.Random(seed)
    lease_secs = dice.randint(5, 60)
    return Request(
        requester=requester,
        salt=(dice.randrange(500) + now).to_bytes(32, "big"),
        model_id=keccak(b"model"),
        input_digest=keccak(b"input"),
        params_digest=keccak(b"params"),
        equivalence=ZERO_DIGEST if replicas == 1 else keccak(b"class"),
        max_fee_units=dice.choice((0, 1, dice.randrange(6000))),
        flat_percent=dice.choice((0, 100, dice.randrange(101))),
        tip_units=dice.choice((0, dice.randrange(800))),
        max_output_tokens=dice.choice((1, 32, 33, 64, LARGEST_OUTPUT)),
        bond_units=dice.randint(1, 3),
        deadline=now + lease_secs + dice.choice((0, dice.randrange(30), dice.randrange(300))),
        lease_secs=lease_secs,
        replicas=replicas,
        input_uri=dice.choice(("", "inputs/aa", "https://store.example/" + "a" * 40)),
    )


def request(requester: str, now: int, seed: int) -> Request:
    """Mostly one that the market takes; one in four has a fault."""
    dice = random.Random(seed)
    sound = sound_request(requester, now, seed, dice.choice((1, 1, 1, 3, 3, 5, 7)))
    faults: tuple[dict[str, int | bytes], ...] = (
        {"replicas": dice.choice((0, 2, 4, 9, 255))},
        {"equivalence": ZERO_DIGEST},
        {"max_output_tokens": 0},
        {"flat_percent": dice.choice((101, 255))},
        {"bond_units": 0},
        {"bond_units": 65_535},
        {"lease_secs": 4},
        {"deadline": now + sound.lease_secs - 1},
        {"deadline": now + dice.choice((1000, 1001, 2**32 - 1 - now))},
        {"max_fee_units": 2**48 - 1},
        {"tip_units": 2**48 - 1},
    )
    return replace(sound, **dice.choice(faults)) if dice.randrange(4) == 0 else sound  # type: ignore[arg-type]


def order(domain: Domain, asked: Request, *, is_vouched: bool) -> Order:
    return Order(
        task_id(domain, asked),
        Terms(
            requester=asked.requester,
            equivalence=asked.equivalence,
            max_fee=asked.max_fee_units,
            flat_percent=asked.flat_percent,
            tip=asked.tip_units,
            max_output_tokens=asked.max_output_tokens,
            bond_units=asked.bond_units,
            deadline=asked.deadline,
            lease_secs=asked.lease_secs,
            replicas=asked.replicas,
        ),
        is_vouched,
    )


def cancel_digest(domain: Domain, task: bytes) -> bytes:
    return typed_digest(domain, keccak(CANCEL_TYPEHASH + task))


def sign(key: bytes, digest: bytes) -> bytes:
    """65 bytes r, s, v."""
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def work(domain: Domain, task: bytes, worker: str, largest: int, seed: int) -> Work:
    """A result; of the same task and seed, replicas agree. One seed in eight lies about root, count or limit."""
    dice = random.Random(task + seed.to_bytes(4, "big"))
    count = dice.choice((0, largest, dice.randint(0, largest)))
    tokens = tuple(dice.randrange(2**32) for _ in range(min(count, LARGEST_OUTPUT)))
    claimed, root = len(tokens), output_root(tokens)
    if seed % 8 == 5:
        root = keccak(b"nothing")
    elif seed % 8 == 6:
        claimed = largest
    elif seed % 8 == 7:
        claimed = largest + 1
    body = Body(task, worker, root, keccak(b"table"), keccak(worker.encode()), keccak(b"choice"), 7, 1, 2)
    return Work(body, body_digest(domain, body), tokens, claimed, keccak(task + worker.encode()))


def verdict(body: Body, tokens: int) -> bytes:
    return keccak(body.output_root + body.table_digest + uint_word(body.prompt_tokens) + uint_word(tokens))


def evidence(done: Work, index: int, batch_path: Sequence[bytes], flavour: int) -> Evidence:
    """The honest answer for a leaf, as far as the worker has one; flavours from 1 on spoil it."""
    tokens = done.tokens[LEAF_TOKENS * index : LEAF_TOKENS * (index + 1)]
    leaves = output_leaves(done.tokens)
    path = proof(leaves, index) if index < len(leaves) else ()
    honest = Evidence(done.body, tuple(batch_path), tokens, path)
    spoiled = (
        honest,
        replace(honest, tokens=tuple((token + 1) % 2**32 for token in tokens)),
        replace(honest, tokens=(*tokens, 0)),
        replace(honest, tokens=tokens[:-1]),
        replace(honest, leaf_path=(*path, keccak(b"more"))),
        replace(honest, body=replace(done.body, table_digest=keccak(b"another table"))),
        replace(honest, batch_path=() if batch_path else (keccak(b"more"),)),
        replace(honest, leaf_path=path[1:]),
    )
    return spoiled[flavour % len(spoiled)]


def evidence_faults(
    domain: Domain, task_id: bytes, task: Task, index: int, shown: Evidence, batches: Sequence[bytes]
) -> set[str]:
    """What is wrong with an answer, by the digests of the Python side."""
    faults = set()
    if task.replicated:
        if verdict(shown.body, task.tokens) != task.verdict:
            faults.add("BodyNotPosted")
    else:
        receipt = Receipt(task_id, body_digest(domain, shown.body), task.tokens)
        if _climb(leaf(receipt), shown.batch_path) not in batches:
            faults.add("BodyNotPosted")
    if len(shown.tokens) != min(LEAF_TOKENS, task.tokens - LEAF_TOKENS * index):
        faults.add("WrongLeafLength")
    padding = [0] * (LEAF_TOKENS * index)
    own = output_leaves([*padding, *shown.tokens])[index] if shown.tokens else ZERO_DIGEST
    if _climb(own, shown.leaf_path) != shown.body.output_root:
        faults.add("LeafNotInOutput")
    return faults


def _climb(node: bytes, path: Sequence[bytes]) -> bytes:
    for sibling in path:
        node = hash_pair(node, sibling)
    return node
