"""The contracts in an EVM of this process (pyrevm), and hostile ones to set on them."""

import hashlib
import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import collapse_if_tuple
from pyrevm import EVM, BlockEnv, Log

from chain.compiler import compile_contracts, interface_abis
from chain.files import replace_file
from chain.node import HARDHAT_DIR, node_binary, solc_wrapper
from protocol.digest import keccak

HOSTILE = Path(__file__).with_name("Hostile.sol")
START = 1_800_000_000
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
# Errors that come from libraries the market uses.
_LIBRARY_ERRORS = (
    "ReentrancyGuardReentrantCall()",
    "SafeCastOverflowedUintDowncast(uint8,uint256)",
    "TransferFailed()",
    "TransferFromFailed()",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to: its answer, or the name of its error; and the market's logs."""

    error: str | None
    answer: bytes
    logs: tuple[tuple[str, tuple[bytes, ...], bytes], ...]


class Abi:
    """Call data, errors and events of one interface."""

    def __init__(self, abi: list[dict[str, Any]]) -> None:
        self._inputs: dict[str, tuple[bytes, list[str]]] = {}
        self._asked: dict[tuple[str, tuple[Hashable, ...]], bytes] = {}
        self.errors: dict[bytes, str] = {
            keccak(text.encode())[:4]: text.split("(")[0] for text in _LIBRARY_ERRORS
        }
        self.events: dict[bytes, tuple[str, list[str]]] = {}
        self.writing: set[str] = set()
        for entry in abi:
            types = [collapse_if_tuple(item) for item in entry.get("inputs", [])]
            digest = keccak(f"{entry.get('name', '')}({','.join(types)})".encode())
            if entry["type"] == "function":
                if entry["stateMutability"] in ("nonpayable", "payable"):
                    self.writing.add(entry["name"])
                self._inputs[entry["name"]] = digest[:4], types
            elif entry["type"] == "error":
                self.errors[digest[:4]] = entry["name"]
            elif entry["type"] == "event":
                plain = [t for t, item in zip(types, entry["inputs"], strict=True) if not item["indexed"]]
                self.events[digest] = entry["name"], plain

    def question(self, name: str, *arguments: Hashable) -> bytes:
        """Call data of a view: the same are asked after every step, and encoding costs more than asking."""
        if (name, arguments) not in self._asked:
            self._asked[name, arguments] = self.data(name, *arguments)
        return self._asked[name, arguments]

    def data(self, name: str, *arguments: object) -> bytes:
        selector, types = self._inputs[name]
        return selector + encode(types, arguments)


class Machine:
    """One EVM with a clock. Every call is a transaction of its own; gas is free."""

    def __init__(self) -> None:
        self.evm = EVM(spec_id="CANCUN")
        self.now = START
        self.travel(0)

    def travel(self, secs: int) -> None:
        self.now += secs
        self.evm.set_block_env(
            BlockEnv(number=1 + self.now - START, timestamp=self.now, prevrandao=bytes(32))
        )

    def deploy(self, deployer: str, bytecode: bytes, types: list[str], arguments: list[object]) -> str:
        return self.evm.deploy(deployer, bytecode + encode(types, arguments))

    def fund(self, who: str, wei: int) -> None:
        self.evm.set_balance(who, wei)

    def balance(self, who: str) -> int:
        return self.evm.get_balance(who)

    def view(self, to: str, data: bytes) -> bytes:
        return bytes(self.evm.message_call("0x" + "0" * 40, to, data, is_static=True))

    def call(self, caller: str, to: str, data: bytes, value: int, abi: Abi) -> Outcome:
        """Raises nothing: a refusal is an outcome."""
        try:
            answer = bytes(self.evm.message_call(caller, to, data, value=value, gas=30_000_000))
        except RuntimeError as failure:
            found = _OUTPUT.search(str(failure))
            revert = bytes.fromhex(found[1]) if found else b""
            return Outcome(abi.errors.get(revert[:4], str(failure)[:120]), b"", ())
        result = self.evm.result
        logs = result.logs if result is not None else []
        return Outcome(None, answer, logs_of(logs, to))


def skipped(outcome: Outcome, abi: Abi) -> list[tuple[bytes, int]]:
    """(task id, reason) of the items a call left out."""
    found = []
    for _, topics, data in outcome.logs:
        name, types = abi.events[topics[0]]
        if name == "TaskSkipped":
            found.append((topics[1], int(decode(types, data)[1])))
    return found


def market_abi() -> Abi:
    return Abi(json.loads(_abis()["IInferenceMarket"]))


def market_bytecode() -> bytes:
    return compile_contracts()["InferenceMarket"].bytecode


@cache
def hostile() -> dict[str, tuple[bytes, bytes, Abi]]:
    """(creation code, runtime code, ABI) of each hostile contract, by name."""
    source = HOSTILE.read_text()
    file = HARDHAT_DIR / "cache" / f"hostile-{hashlib.sha256(source.encode()).hexdigest()[:16]}.json"
    if not file.is_file():
        file.parent.mkdir(exist_ok=True)
        replace_file(file, json.dumps(_compile(source)).encode())
    return {
        name: (
            bytes.fromhex(made["evm"]["bytecode"]["object"]),
            bytes.fromhex(made["evm"]["deployedBytecode"]["object"]),
            Abi(made["abi"]),
        )
        for name, made in json.loads(file.read_text()).items()
    }


@cache
def _abis() -> dict[str, str]:
    return interface_abis()


def _compile(source: str) -> dict[str, Any]:
    import os

    from solcx import compile_standard

    os.environ.setdefault("QUERN_NODE", str(node_binary()))
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    output: dict[str, Any] = compile_standard(
        {
            "language": "Solidity",
            "sources": {HOSTILE.name: {"content": source}},
            "settings": {"evmVersion": "cancun", "outputSelection": {"*": {"*": outputs}}},
        },
        solc_binary=solc_wrapper(),
    )
    found: dict[str, Any] = output["contracts"][HOSTILE.name]
    return found


def logs_of(logs: Sequence[Log], address: str) -> tuple[tuple[str, tuple[bytes, ...], bytes], ...]:
    """(address, topics, data) of what one contract said."""
    found = []
    for log in logs:
        if log.address.lower() == address.lower():
            topics, data = log.data
            found.append((log.address, tuple(bytes(topic) for topic in topics), bytes(data)))
    return tuple(found)
