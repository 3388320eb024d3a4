"""The proofs' own parts: what a mutant is, which are chosen, and how a coverage report is read."""

from scripts.prove.coverage import Reach, assembly_lines, read
from scripts.prove.mutate import choose, mutants_of

SOURCE = """\
contract Purse {
    // a < b in a comment is no code
    function take(uint256 amount) external nonReentrant {
        if (amount > _free) revert TooMuch("a < b", amount);
        _free -= amount;
        emit Taken(msg.sender, amount);
    }
}
"""


def test_a_mutant_changes_one_place() -> None:
    mutants = list(mutants_of("Purse.sol", SOURCE))
    changed = {mutant.apply(SOURCE) for mutant in mutants}
    assert len(changed) == len(mutants)
    assert SOURCE not in changed
    kinds = {mutant.kind for mutant in mutants}
    assert kinds >= {"boundary", "condition", "guard dropped", "statement dropped", "event dropped"}
    assert {"guard of reentrancy", "arguments swapped"} <= kinds


def test_comments_and_texts_are_left_alone() -> None:
    for mutant in mutants_of("Purse.sol", SOURCE):
        assert "// a < b in a comment is no code" in mutant.apply(SOURCE)
        assert '"a < b"' in mutant.apply(SOURCE) or mutant.kind == "guard dropped"


def test_one_seed_chooses_the_same_mutants() -> None:
    mutants = list(mutants_of("Purse.sol", SOURCE))
    assert choose(mutants, 5, 1) == choose(mutants, 5, 1)
    assert choose(mutants, 5, 1) != choose(mutants, 5, 2)
    assert len(choose(mutants, 1000, 1)) == len(mutants)


def test_a_coverage_report_names_what_was_missed() -> None:
    report = "TN:\nSF:contracts/Purse.sol\nDA:4,3\nDA:5,0\nBRDA:4,0,0,3\nBRDA:4,0,1,-\nend_of_record\n"
    assert list(read(report)) == [Reach("contracts/Purse.sol", 2, 1, 2, 1, (5,), (4,))]


def test_lines_of_assembly_are_told_apart() -> None:
    source = "function f() {\n    assembly {\n        if x { y() }\n        z()\n    }\n    g();\n}\n"
    assert assembly_lines(source) == {3, 4, 5}
    reach = Reach(
        "F.sol", lines=4, lines_hit=1, branches=0, branches_hit=0, missed_lines=(3, 4, 6), missed_branches=()
    )
    seen = reach.without(assembly_lines(source))
    assert (seen.lines, seen.lines_hit, seen.missed_lines) == (2, 1, (6,))
