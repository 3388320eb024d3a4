"""Python and Solidity compute the same of random inputs, the empty and the largest among them."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from hypothesis import example, given
from hypothesis import strategies as st
from pyrevm import EVM

from chain.compiler import SETTINGS
from chain.compiler import _compile as compile_input
from chain.files import replace_file
from chain.node import HARDHAT_DIR, PROJECT_ROOT
from protocol.abi import checksum_address
from protocol.digest import ZERO_DIGEST, keccak
from protocol.domain import Domain, separator
from protocol.evidence import leaf_count, leaf_length
from protocol.merkle import batch_root, output_leaves
from protocol.money import charge_units, demand_share, escrow_units, lost_challenge, release_burn_units, slash
from protocol.priority import priority
from protocol.receipt import Body, Receipt, body_digest, body_tuple, commitment, leaf, verdict
from protocol.request import MEMBERS, Request, as_tuple, cancel_digest, task_id

SOURCE = Path(__file__).with_name("Libraries.sol")
CALLER = "0x" + "11" * 20
REQUEST = "(" + ",".join(kind for kind, _, _ in MEMBERS) + ")"
BODY = "(bytes32,address,bytes32,bytes32,bytes32,bytes32,uint32,uint64,uint64)"
_IMPORT = re.compile(r'from "([^"]+)"')


def _sources(name: str, content: str, found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    found[name] = {"content": content}
    for target in _IMPORT.findall(content):
        path = str(Path(name).parent / target) if target.startswith(".") else target
        path = re.sub(r"[^/]+/\.\./", "", path)
        if path not in found:
            root = PROJECT_ROOT if path.startswith("contracts/") else HARDHAT_DIR / "node_modules"
            _sources(path, (root / path).read_text(), found)
    return found


@pytest.fixture(scope="module")
def libraries():
    """A caller of the libraries in an EVM of this process: `ask(name, kinds, values, returned)`."""
    outputs = {"*": {"Libraries": ["evm.bytecode.object"]}}
    sources = dict(sorted(_sources(SOURCE.name, SOURCE.read_text(), {}).items()))
    given_input: dict[str, object] = {
        "language": "Solidity",
        "sources": sources,
        "settings": {**SETTINGS, "outputSelection": outputs},
    }
    key = hashlib.sha256(json.dumps(given_input).encode()).hexdigest()[:16]
    cache = HARDHAT_DIR / "cache" / f"libraries-{key}.json"
    if not cache.is_file():
        cache.parent.mkdir(exist_ok=True)
        replace_file(cache, json.dumps(compile_input(given_input)).encode())
    made = json.loads(cache.read_text())["contracts"][SOURCE.name]["Libraries"]
    evm = EVM(spec_id="CANCUN")
    address = evm.deploy(CALLER, bytes.fromhex(made["evm"]["bytecode"]["object"]))

    def ask(
        name: str, kinds: Sequence[str], values: Sequence[object], returned: Sequence[str] = ("bytes32",)
    ):
        data = keccak(f"{name}({','.join(kinds)})".encode())[:4] + encode(kinds, values)
        answer = decode(returned, bytes(evm.message_call(CALLER, address, data, is_static=True)))
        return answer if len(returned) > 1 else answer[0]

    return ask


def uints(bits: int) -> st.SearchStrategy[int]:
    """The limits often, anything else as well."""
    return st.one_of(st.sampled_from([0, 1, (1 << bits) - 1]), st.integers(0, (1 << bits) - 1))


DIGESTS = st.one_of(st.sampled_from([ZERO_DIGEST, b"\xff" * 32]), st.binary(min_size=32, max_size=32))
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum_address)
DOMAINS = st.builds(Domain, uints(64), ADDRESSES)
BODIES = st.builds(
    Body, DIGESTS, ADDRESSES, DIGESTS, DIGESTS, DIGESTS, DIGESTS, uints(32), uints(64), uints(64)
)
KINDS = {"address": ADDRESSES, "bytes32": DIGESTS, "string": st.text(max_size=200)}
REQUESTS = st.builds(
    Request,
    **{field: KINDS[kind] if kind in KINDS else uints(int(kind[4:])) for kind, _, field in MEMBERS},
)


@given(DOMAINS, REQUESTS)
def test_the_id_and_the_escrow_of_a_task(libraries, domain, request_made):
    values = [separator(domain), as_tuple(request_made)]
    assert libraries("taskId", ["bytes32", REQUEST], values) == task_id(domain, request_made)
    fee, replicas, tip = request_made.max_fee_units, request_made.replicas, request_made.tip_units
    assert libraries("escrow", [REQUEST], values[1:], ["uint256"]) == escrow_units(fee, replicas, tip)


@given(DOMAINS, BODIES, uints(32), DIGESTS)
def test_bodies_verdicts_leaves_commitments_and_cancellations(libraries, domain, body, tokens, salt):
    made = body_tuple(body)
    digest = libraries("bodyOf", ["bytes32", BODY], [separator(domain), made])
    assert digest == body_digest(domain, body)
    assert libraries("verdict", [BODY, "uint32"], [made, tokens]) == verdict(body, tokens)
    assert libraries("commitment", ["bytes32", "uint32", "bytes32"], [digest, tokens, salt]) == commitment(
        digest, tokens, salt
    )
    own_leaf = libraries("leaf", ["bytes32", "uint32", "bytes32"], [body.task_id, tokens, digest])
    assert own_leaf == leaf(Receipt(body.task_id, digest, tokens))
    cancelled = libraries("cancelOf", ["bytes32", "bytes32"], [separator(domain), body.task_id])
    assert cancelled == cancel_digest(domain, body.task_id)


@given(st.lists(uints(32), min_size=1, max_size=100))
@example([(1 << 32) - 1] * 32)
@example([0] * 33)
def test_the_leaves_of_an_output(libraries, tokens):
    found = [
        libraries("outputLeaf", ["uint32", "uint32[]"], [index, tokens[32 * index : 32 * index + 32]])
        for index in range(leaf_count(len(tokens)))
    ]
    assert found == output_leaves(tokens)


@given(st.lists(DIGESTS, min_size=1, max_size=70))
def test_the_root_of_a_batch(libraries, leaves):
    assert libraries("root", ["bytes32[]"], [leaves]) == batch_root(leaves)


@given(uints(48), st.integers(0, 100), uints(32), st.integers(1, (1 << 32) - 1))
def test_charges(libraries, fee, percent, tokens, most):
    values = [fee, percent, min(tokens, most), most]
    assert libraries("charge", ["uint256"] * 4, values, ["uint256"]) == charge_units(*values) <= fee


@given(uints(80), uints(24), st.integers(1, (1 << 24) - 1))
def test_where_bonds_go(libraries, bond, held, lease):
    values = [bond, min(held, lease), lease]
    assert libraries("releaseBurn", ["uint256"] * 3, values, ["uint256"]) == release_burn_units(*values)
    assert libraries("slash", ["uint256"], [bond], ["uint256"] * 3) == tuple(slash(bond))


@given(uints(64), st.integers(1, 7))
def test_where_a_challengers_bond_and_a_demands_fee_go(libraries, amount, winners):
    lost = libraries("loseChallenge", ["uint64", "uint256"], [amount, winners], ["uint256"] * 3)
    assert lost == tuple(lost_challenge(amount, winners))
    shared = libraries("share", ["uint64", "uint256"], [amount, winners], ["uint256"] * 2)
    assert shared == demand_share(amount, winners)


@given(uints(32), uints(32))
def test_leaves_are_counted_alike(libraries, tokens, index):
    leaves = libraries("leafCount", ["uint256"], [tokens], ["uint256"])
    assert leaves == leaf_count(tokens)
    if leaves:
        values = [index % leaves, tokens]
        assert libraries("leafLength", ["uint256"] * 2, values, ["uint256"]) == leaf_length(
            tokens, index % leaves
        )


@given(
    uints(48), st.sampled_from([1, 10**9]), st.sampled_from([1, 3, 5, 7]), st.integers(1, (1 << 32) - 1),
    uints(32), uints(32), uints(64),
)  # fmt: skip
def test_priorities(libraries, tip, unit, replicas, most, priced_at, waited, rate):
    values = [tip * unit, replicas, most, priced_at, priced_at + waited, rate]
    assert libraries("priority", ["uint256"] * 6, values, ["uint256"]) == priority(*values)
