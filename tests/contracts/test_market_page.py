"""The auditor's page names tests that exist, for every attack it answers, and every attack that is tried."""

import re

from chain.node import HARDHAT_DIR, PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "market.md"
TESTS = HARDHAT_DIR / "test"
PREFIX = "test_attack_"


def rows(title: str) -> list[list[str]]:
    """Cells of the table under a title, its head left out."""
    section = PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def solidity_tests() -> set[str]:
    sources = "".join(path.read_text() for path in sorted(TESTS.glob("*.t.sol")))
    return set(re.findall(r"function (test_\w+)\(", sources))


def named(cell: str) -> set[str]:
    names = re.findall(r"`(\w+)`", cell)
    return {name if name.startswith("test_") else PREFIX + name for name in names}


def test_every_attack_has_a_test_that_tries_it() -> None:
    table = rows("Attacks and answers")
    assert len(table) > 12
    wanting = {attack: named(tried) - solidity_tests() for attack, _, _, tried in table}
    assert {attack: names for attack, names in wanting.items() if names} == {}
    assert [attack for attack, _, _, tried in table if not named(tried)] == []


def test_every_attack_that_is_tried_has_its_row() -> None:
    told = {name for *_, tried in rows("Attacks and answers") for name in named(tried)}
    assert {name for name in solidity_tests() if name.startswith(PREFIX)} <= told
