"""Small breaks of Solidity sources: what a slip of the hand could have written instead."""

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
_SPACED = {
    "boundary": {"<": "<=", "<=": "<", ">": ">=", ">=": ">"},
    "direction": {"<": ">=", "<=": ">", ">": "<=", ">=": "<"},
    "equality": {"==": "!=", "!=": "=="},
    "logic": {"&&": "||", "||": "&&"},
    "arithmetic": {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "+=": "-=", "-=": "+="},
    "bits": {"|": "&", "&": "|", "<<": ">>", ">>": "<<"},
}
_CONDITION = re.compile(r"\bif \(")
_GUARD = re.compile(r"^[ ]*if \([^;{]*\) (?:revert\b[^;]*|return\b[^;]*|continue);", re.MULTILINE)
_STATEMENT = re.compile(
    r"^[ ]*(?!return\b|revert\b|using\b|import\b|emit\b|if\b|for\b|else\b|assembly\b|unchecked\b)"
    r"(?:_\w+\([^;{}]*\)|[\w.\[\]]+ [+\-|]?= [^;{}]*|\+\+\w+|delete [^;{}]*);[ ]*$",
    re.MULTILINE,
)
_DROPPED = {
    "guard dropped": _GUARD,
    "statement dropped": _STATEMENT,
    "event dropped": re.compile(r"^[ ]*emit [^;]*;[ ]*$", re.MULTILINE),
    "guard of reentrancy": re.compile(r" nonReentrant\b"),
}
_DECLARATION = re.compile(r"^[ ]*(?:u?int|bytes|address|bool|mapping|TaskId|struct|[A-Z]\w+)\d* ")
# In assembly, `and`, `or`, `add` and `mul` do not mind the order.
_ARGUMENTS = re.compile(
    r"(?<!\band\()(?<!\bor\()(?<!\badd\()(?<!\bmul\()(?<=\()([\w.\[\]]+), ([\w.\[\]]+)(?=[,)])"
)
_NUMBER = re.compile(r"(?<![\w.])(\d[\d_]*)(?![\w.]| days| gwei)")
_MEMBER = re.compile(r"\b(State|SkipReason|RefundReason|Verdict|Stage)\.(\w+)")
_FUNCTION_HEAD = re.compile(r"\bfunction\b[^;{]*[;{]")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file: the text from `start` to `end` becomes `replacement`."""

    file: str
    kind: str
    start: int
    end: int
    line: int
    original: str
    replacement: str
    context: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.replacement + source[self.end :]

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line} {self.kind}"

    def key(self, source: str) -> str:
        """The same for the same change of the same text."""
        return hashlib.sha256(f"{self.file}\n{self.apply(source)}".encode()).hexdigest()[:16]


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of one source file, in the order of its kinds and places."""
    code = _COMMENT_OR_TEXT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), source)
    heads = [found.span() for found in _FUNCTION_HEAD.finditer(code)]
    body = code.find("{", code.find("\nlibrary ") if "\nlibrary " in code else code.find("\ncontract "))

    def made(kind: str, start: int, end: int, replacement: str) -> Iterator[Mutant]:
        in_head = kind != "guard of reentrancy" and any(low <= start < high for low, high in heads)
        if start < body or in_head or source[start:end] == replacement:
            return
        first = source.rfind("\n", 0, start) + 1
        last = source.find("\n", end)
        line = source.count("\n", 0, start) + 1
        context = " ".join(source[first:last].split())
        yield Mutant(file, kind, start, end, line, source[start:end], replacement, context)

    for kind, start, end, replacement in _changes(code, source):
        yield from made(kind, start, end, replacement)


def _changes(code: str, source: str) -> Iterator[tuple[str, int, int, str]]:
    for kind, swaps in _SPACED.items():
        operators = "|".join(re.escape(sign) for sign in sorted(swaps, key=len, reverse=True))
        for found in re.finditer(rf"(?<= )({operators})(?= )", code):
            yield kind, *found.span(), swaps[found.group()]
    for found in _CONDITION.finditer(code):
        close = _closing(code, found.end() - 1)
        yield "condition", found.end(), close, f"!({source[found.end() : close]})"
    for kind, dropped in _DROPPED.items():
        for found in dropped.finditer(code):
            if not _DECLARATION.match(found.group()):
                yield kind, *found.span(), ""
    for found in _ARGUMENTS.finditer(code):
        yield "arguments swapped", *found.span(), ", ".join(reversed(found.groups()))
    for found in _NUMBER.finditer(code):
        yield "number", *found.span(), str(int(found.group().replace("_", "")) + 1)
    for found in _MEMBER.finditer(code):
        other = "Open" if found.group(1) == "State" and found.group(2) != "Open" else "None"
        yield "member", *found.span(), f"{found.group(1)}.{other}"


def choose(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them, as even as can be over kinds and so over files by their size; the same for the same seed."""
    groups: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        groups[mutant.kind].append(mutant)
    dice = random.Random(seed)
    shuffled = [dice.sample(groups[key], len(groups[key])) for key in sorted(groups)]
    dice.shuffle(shuffled)
    chosen: list[Mutant] = []
    while len(chosen) < count and any(shuffled):
        for group in shuffled:
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen


def _closing(code: str, opening: int) -> int:
    depth = 0
    for place in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"no closing parenthesis after {opening}")
