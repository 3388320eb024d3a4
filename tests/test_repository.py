"""What a fresh clone relies on: pins that hold, a lock for any registry, no trace of one machine."""

import json
import os
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.utils import canonicalize_name

from tests.checkout import ROOT, declared_requirements, pinned_versions, tracked_files

LARGEST_FILE_BYTES = 20 * 2**20
TORCH = re.search(r"^torch_version=(\S+)$", (ROOT / "scripts/_setup.sh").read_text(), re.MULTILINE)


def test_constraints_are_bare_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    shape = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.]*( ; platform_machine == \"x86_64\")?")
    assert [line for line in pins if not shape.fullmatch(line)] == []
    assert pins == sorted(pins)
    assert len(pinned_versions()) == len(pins)


@pytest.mark.parametrize("extra", ["", "devnet", "worker", "cpu", "research", "dev"])
def test_every_requirement_has_a_pin_that_satisfies_it(extra: str) -> None:
    assert TORCH is not None
    pins = pinned_versions() | {"torch": TORCH[1]}
    wanting = [
        str(requirement)
        for requirement in declared_requirements()[extra]
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wanting == []


def test_what_is_installed_is_what_is_pinned() -> None:
    assert TORCH is not None
    differing = {}
    for name, pinned in (pinned_versions() | {"torch": TORCH[1]}).items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "none"
        if installed != pinned:
            differing[name] = (installed, pinned)
    assert differing == {}


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((ROOT / "hardhat-local/package-lock.json").read_text())
    packages = lock["packages"]
    assert len(packages) > 10
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_the_lock_file_is_of_this_package() -> None:
    package = json.loads((ROOT / "hardhat-local/package.json").read_text())
    locked = json.loads((ROOT / "hardhat-local/package-lock.json").read_text())["packages"][""]
    for key in ("name", "version", "dependencies", "devDependencies"):
        assert locked.get(key) == package.get(key), key


def test_no_file_names_a_folder_of_one_machine() -> None:
    path = re.compile(r"(?<![\w.$}*<>/-])/(home|root|Users|work|opt|mnt)/[\w.]")
    named = []
    for file in tracked_files():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        named += [f"{file.relative_to(ROOT)}: {line}" for line in text.splitlines() if path.search(line)]
    assert named == []


def test_no_file_is_too_large_to_clone() -> None:
    sizes = {file.relative_to(ROOT).as_posix(): file.stat().st_size for file in tracked_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE_BYTES} == {}


def test_every_shell_script_parses_and_can_be_run() -> None:
    scripts = [
        file
        for file in tracked_files()
        if file.read_bytes()[:32].startswith((b"#!/usr/bin/env bash\n", b"#!/bin/sh\n"))
        or file.suffix == ".sh"
    ]
    assert {"demo", "test", "clean", "_setup.sh", "run", "solc", "forge"} <= {file.name for file in scripts}
    for file in scripts:
        subprocess.run(["bash", "-n", str(file)], check=True)
        assert os.access(file, os.X_OK) or file.suffix == ".sh", file
