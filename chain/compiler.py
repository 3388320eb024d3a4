"""Compiles the contracts through py-solc-x, once per change of their sources."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.files import replace_file
from chain.node import HARDHAT_DIR, PROJECT_ROOT, node_binary, solc_wrapper
from protocol.errors import BadInput

CONTRACTS = ("InferenceMarket", "ModelRegistry", "MarketLens", "PanelArbiter")
INTERFACES = ("IInferenceMarket", "IModelRegistry", "IMarketLens", "IPanelArbiter")
# The same as in hardhat-local/hardhat.config.ts and foundry.toml, so that all three make the same bytecode.
SETTINGS: dict[str, object] = {
    "optimizer": {"enabled": True, "runs": 200},
    "viaIR": True,
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
_IMPORT = re.compile(r'^\s*import\s[^"]*"([^"]+)"\s*;', re.MULTILINE)


class DoesNotCompile(BadInput):
    """The contracts have an error; the message is the compiler's first."""

    def __init__(self, message: str) -> None:
        super().__init__("COMPILE-001", "contracts", message, "correct the source")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One contract: the code that creates it, and the code that creation leaves."""

    name: str
    bytecode: bytes
    runtime: bytes


def compile_contracts(root: Path = PROJECT_ROOT) -> dict[str, Artifact]:
    """Artifacts of the contracts, by name. Ten seconds, or nothing when cached.

    Raises DoesNotCompile, MissingTool.
    """
    outputs = ["evm.bytecode.object", "evm.deployedBytecode.object"]
    standard_input = _standard_input(root, [f"contracts/{name}.sol" for name in CONTRACTS], outputs)
    text = json.dumps(standard_input, sort_keys=True)
    cache = HARDHAT_DIR / "cache" / f"solcx-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if cache.is_file():
        return _artifacts(json.loads(cache.read_text()))
    output = _compile(standard_input)
    artifacts = _artifacts(output)
    cache.parent.mkdir(exist_ok=True)
    replace_file(cache, json.dumps(output).encode())
    return artifacts


def interface_abis(root: Path = PROJECT_ROOT) -> dict[str, str]:
    """ABI of each interface as JSON text, in a second, for no code is made.

    Raises DoesNotCompile, MissingTool.
    """
    names = [f"contracts/interfaces/{name}.sol" for name in INTERFACES]
    output = _compile(_standard_input(root, names, ["abi"]))
    return {
        name: json.dumps(contract["abi"])
        for file in _contracts(output)
        for name, contract in file.items()
        if name in INTERFACES
    }


def _standard_input(root: Path, names: list[str], outputs: list[str]) -> dict[str, object]:
    """Sources with all they import, by content, so that the cache's key covers the libraries too."""
    sources: dict[str, dict[str, str]] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        file = root / name if name.startswith("contracts/") else HARDHAT_DIR / "node_modules" / name
        content = file.read_text()
        sources[name] = {"content": content}
        waiting.extend(_resolve(name, target) for target in _IMPORT.findall(content))
    settings = {**SETTINGS, "outputSelection": {"*": {"*": outputs}}}
    return {"language": "Solidity", "sources": dict(sorted(sources.items())), "settings": settings}


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    return os.path.normpath(Path(importer).parent / target)


def _compile(standard_input: dict[str, object]) -> dict[str, object]:
    from solcx import compile_standard
    from solcx.exceptions import SolcError

    # py-solc-x passes no environment of ours, and the wrapper looks for Node.js there first.
    os.environ.setdefault("QUERN_NODE", str(node_binary()))
    try:
        output: dict[str, object] = compile_standard(standard_input, solc_binary=solc_wrapper())
    except SolcError as error:
        raise DoesNotCompile(_first_error(str(error.stdout_data)) or str(error)) from error
    return output


def _first_error(output: str) -> str:
    """Of the compiler's findings, which begin with its warnings; "" where it says nothing."""
    try:
        findings = json.loads(output)["errors"]
    except (ValueError, KeyError, TypeError):
        return ""
    errors = (finding for finding in findings if finding["severity"] == "error")
    return str(next(errors, {"formattedMessage": ""})["formattedMessage"])


def _contracts(output: dict[str, object]) -> list[dict[str, dict[str, Any]]]:
    contracts = output["contracts"]
    assert isinstance(contracts, dict)
    return list(contracts.values())


def _artifacts(output: dict[str, object]) -> dict[str, Artifact]:
    found = {}
    for file in _contracts(output):
        for name, contract in file.items():
            if name in CONTRACTS:
                evm = contract["evm"]
                found[name] = Artifact(
                    name=name,
                    bytecode=bytes.fromhex(evm["bytecode"]["object"]),
                    runtime=bytes.fromhex(evm["deployedBytecode"]["object"]),
                )
    return found
