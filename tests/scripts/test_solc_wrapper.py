"""The compiler wrapper speaks the native solc command line, as py-solc-x, forge and slither call it."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import solcx

from tests.checkout import ROOT

SOLC = ROOT / "hardhat-local/solc"
VERSION = json.loads((ROOT / "hardhat-local/package.json").read_text())["dependencies"]["solc"]

HEADER = "// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.30;\n"
LIBRARY = HEADER + "library Half { function take(uint a) internal pure returns (uint) { return a / 2; } }"
CONTRACT = (
    HEADER
    + """import {Half} from "lib/Half.sol";
contract Halver { function halve(uint a) external pure returns (uint) { return Half.take(a); } }
"""
)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """`main/Halver.sol` imports `lib/Half.sol`, which lies under `vendor`, a root beside it."""
    for name, text in {"main/Halver.sol": CONTRACT, "vendor/lib/Half.sol": LIBRARY}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def solc(
    *arguments: str, cwd: Path, stdin: str = "", path: str | None = None
) -> subprocess.CompletedProcess[str]:
    env = os.environ | ({"PATH": path} if path else {})
    return subprocess.run(
        [str(SOLC), *arguments], cwd=cwd, input=stdin, env=env, capture_output=True, text=True, check=False
    )


def standard_input(content: str, *outputs: str) -> str:
    return json.dumps(
        {
            "language": "Solidity",
            "sources": {"Halver.sol": {"content": content}},
            "settings": {"outputSelection": {"*": {"*": outputs or ("evm.bytecode.object",)}}},
        }
    )


def test_the_version_is_the_one_in_the_package(tmp_path: Path) -> None:
    assert f"Version: {VERSION}+commit." in solc("--version", cwd=tmp_path).stdout


def test_standard_json_prints_json_and_nothing_else(sources: Path) -> None:
    done = solc(
        "--standard-json",
        "--include-path",
        "vendor",
        "--base-path",
        "main",
        cwd=sources,
        stdin=standard_input(CONTRACT),
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["contracts"]["Halver.sol"]["Halver"]["evm"]["bytecode"]["object"]


def test_py_solc_x_compiles_through_it(sources: Path) -> None:
    (sources / "main/lib").symlink_to(sources / "vendor/lib")
    output = solcx.compile_standard(
        json.loads(standard_input(CONTRACT, "abi")),
        base_path=str(sources / "main"),
        allow_paths=[str(sources)],
        solc_binary=str(SOLC),
    )
    assert [entry["name"] for entry in output["contracts"]["Halver.sol"]["Halver"]["abi"]] == ["halve"]


def test_combined_json_names_sources_as_the_native_compiler_does(sources: Path) -> None:
    done = solc(
        "--combined-json=abi,bin,hashes,ast",
        "--base-path=main",
        "--include-path=vendor",
        "main/Halver.sol",
        cwd=sources,
    )
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    assert output["sourceList"] == ["Halver.sol", "lib/Half.sol"]
    assert output["contracts"]["Halver.sol:Halver"]["hashes"] == {"halve(uint256)": "20fb79e7"}
    assert output["sources"]["Halver.sol"]["AST"]["nodeType"] == "SourceUnit"


def test_both_ways_give_the_same_bytecode(sources: Path) -> None:
    roots = ("--base-path", "main", "--include-path", "vendor")
    combined = json.loads(solc("--combined-json", "bin", *roots, "main/Halver.sol", cwd=sources).stdout)
    standard = json.loads(solc("--standard-json", *roots, cwd=sources, stdin=standard_input(CONTRACT)).stdout)
    bytecode = standard["contracts"]["Halver.sol"]["Halver"]["evm"]["bytecode"]["object"]
    assert combined["contracts"]["Halver.sol:Halver"]["bin"] == bytecode


def test_a_file_outside_the_allowed_folders_is_not_read(sources: Path) -> None:
    (sources / "secret.sol").write_text(LIBRARY)
    content = CONTRACT.replace("lib/Half.sol", str(sources / "secret.sol"))
    refused = solc("--standard-json", "--base-path", "main", cwd=sources, stdin=standard_input(content))
    assert "outside of allowed directories" in refused.stdout
    allowed = solc(
        "--standard-json",
        "--base-path",
        "main",
        "--allow-paths",
        ".",
        cwd=sources,
        stdin=standard_input(content),
    )
    assert "errors" not in json.loads(allowed.stdout)


def test_a_faulty_contract_fails_with_its_place(sources: Path) -> None:
    (sources / "Bad.sol").write_text("contract Bad { function f() public { return 1; } }")
    done = solc("--combined-json", "bin", "Bad.sol", cwd=sources)
    assert done.returncode == 1
    assert "Bad.sol:1:" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [("--turbo",), ("--combined-json", "soul", "A.sol"), ("--combined-json", "abi"), ("--base-path",)],
)
def test_a_wrong_command_line_gets_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = solc(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("solc: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("version", "taken"), [(VERSION, True), ("0.8.4", False)])
def test_a_native_compiler_of_that_very_version_is_taken(version: str, taken: bool, tmp_path: Path) -> None:
    native = tmp_path / "solc"
    native.write_text(f"#!/bin/sh\necho 'native: Version: {version}+commit.00000000.Linux.g++'\n")
    native.chmod(0o755)
    done = solc("--version", cwd=tmp_path, path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.stdout.startswith("native") is taken
