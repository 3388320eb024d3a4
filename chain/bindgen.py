"""Writes chain/bindings.py from the contracts' ABI: python -m chain.bindgen."""

import json
import re
import subprocess
import sys
from pathlib import Path

from chain.compiler import interface_abis
from protocol.digest import keccak

TARGET = Path(__file__).with_name("bindings.py")
_HEADER = '''"""Calls, returns, errors and events, as chain/bindgen.py reads them from the ABI."""

# ruff: noqa: FBT001, ARG001 - a generated call takes its arguments in the order of the ABI

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from eth_abi.abi import decode, encode

from chain.revert import ErrorTable
from chain.words import Struct, address, array_of_words, request_at, text_at, uint, uints_at
from protocol import lifecycle
from protocol.lifecycle import Event, Place

'''
_INDENT = "    "
Abi = dict[str, object]


def source() -> str:
    """The module's text, formatted."""
    abis = {name: json.loads(text) for name, text in sorted(interface_abis().items())}
    parts = [_HEADER]
    parts += [_calls(name, abi) for name, abi in abis.items()]
    parts += [_errors(abis), _events(abis)]
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"],
        input="\n".join(parts).encode(),
        capture_output=True,
        check=True,
    )
    return formatted.stdout.decode()


def _calls(contract: str, abi: list[Abi]) -> str:
    lines = [
        f"class {contract[1:]}Abi:",
        f'{_INDENT}"""Call data and return values of {contract[1:]}."""',
        "",
    ]
    for item in abi:
        if item["type"] != "function":
            continue
        name, inputs, outputs = str(item["name"]), _members(item["inputs"]), _members(item["outputs"])
        selector = keccak(_signature(name, inputs).encode())[:4]
        words = ", ".join(f"{_snake(_name(m, i))}: {_python_type(m)}" for i, m in enumerate(inputs))
        values = "".join(f"{_snake(_name(m, i))}, " for i, m in enumerate(inputs))
        kinds = [_kind(m) for m in inputs]
        encoded = (
            f"array_of_words({values[:-2]})"
            if _is_array_of_words(kinds)
            else f"encode({kinds!r}, ({values}))"
        )
        lines += [f"{_INDENT}@staticmethod", f"{_INDENT}def encode_{_snake(name)}({words}) -> bytes:"]
        if inputs:
            lines.append(f"{_INDENT * 2}return {_bytes(selector)} + {encoded}")
        else:
            lines.append(f"{_INDENT * 2}return {_bytes(selector)}")
        lines.append("")
        if outputs:
            returned = ", ".join(_python_type(m, returned=True) for m in outputs)
            shape = f"tuple[{returned}]" if len(outputs) > 1 else returned
            value = f"decode({[_kind(m) for m in outputs]!r}, data)" + ("" if len(outputs) > 1 else "[0]")
            lines += [
                f"{_INDENT}@staticmethod",
                f"{_INDENT}def decode_{_snake(name)}(data: bytes) -> {shape}:",
            ]
            lines += [f'{_INDENT * 2}return cast("{shape}", {value})', ""]
    return "\n".join(lines)


def _errors(abis: dict[str, list[Abi]]) -> str:
    rows = {}
    for abi in abis.values():
        for item in abi:
            if item["type"] == "error":
                name, inputs = str(item["name"]), _members(item["inputs"])
                members = tuple((_snake(_name(m, i)), _kind(m)) for i, m in enumerate(inputs))
                rows[keccak(_signature(name, inputs).encode())[:4]] = (name, members)
    body = "".join(f"{_INDENT}{_bytes(selector)}: {row!r},\n" for selector, row in rows.items())
    return f"ERRORS: ErrorTable = {{\n{body}}}\n"


def _events(abis: dict[str, list[Abi]]) -> str:
    functions, rows = [], []
    for abi in abis.values():
        for item in abi:
            if item["type"] != "event":
                continue
            name, inputs = str(item["name"]), _members(item["inputs"])
            topic = keccak(_signature(name, inputs).encode())
            rows.append(f"{_INDENT}{_bytes(topic)}: _{_snake(name)},\n")
            functions += [
                f"def _{_snake(name)}(at: Place, topics: Sequence[bytes], data: bytes) -> Event:",
                f"{_INDENT}return lifecycle.{name}(at, {', '.join(_event_values(inputs))})",
                "",
            ]
    alias = "EventDecoder: TypeAlias = Callable[[Place, Sequence[bytes], bytes], Event]\n"
    table = (
        "# First topic -> decoder; the others are indexed values.\nEVENTS: dict[bytes, EventDecoder] = {\n"
    )
    return "\n".join(functions) + "\n" + alias + table + "".join(rows) + "}\n"


def _event_values(inputs: list[Abi]) -> list[str]:
    """One expression per field of the event's dataclass, whose fields are in the order of the ABI."""
    holds_request = any(m["type"] == "tuple" for m in inputs)
    values, topic, word = [], 0, 0
    for member in inputs:
        if member["indexed"]:
            topic += 1
            if holds_request and topic > 1:
                continue  # requester and model, which the request itself holds
            values.append(_topic_value(member, topic))
        else:
            values.append(_data_value(member, word))
            word += 1
    return values


def _topic_value(member: Abi, topic: int) -> str:
    kind = _kind(member)
    if kind.startswith("uint"):
        return f"uint(topics[{topic}], 0)"
    return {"bytes32": f"topics[{topic}]", "address": f"address(topics[{topic}])"}[kind]


def _data_value(member: Abi, word: int) -> str:
    kind = _kind(member)
    if member["type"] == "tuple":
        return f"request_at(data, {word})"
    if str(member["internalType"]) == "enum State":
        return f"lifecycle.TaskState(uint(data, {word}))"
    if kind.endswith("[]"):
        return f"uints_at(data, {word})"
    if kind.startswith("uint"):
        return f"uint(data, {word})"
    if kind == "bytes32":
        return f"data[{32 * word} : {32 * word + 32}]"
    return {"string": f"text_at(data, {word})", "bool": f"uint(data, {word}) != 0"}[kind]


def _is_array_of_words(kinds: list[str]) -> bool:
    """One array, which may be long, of items that `array_of_words` takes."""
    return (
        len(kinds) == 1
        and re.fullmatch(r"[(]?(bytes32|uint\d+)(,(bytes32|uint\d+))*[)]?\[\]", kinds[0]) is not None
    )


def _members(value: object) -> list[Abi]:
    assert isinstance(value, list)
    return value


def _name(member: Abi, index: int) -> str:
    return str(member["name"]) or f"value{index}"


def _kind(member: Abi) -> str:
    """The canonical ABI type, structs spelled out."""
    kind = str(member["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_kind(part) for part in _members(member['components']))}){kind[5:]}"


def _signature(name: str, inputs: list[Abi]) -> str:
    return f"{name}({','.join(_kind(member) for member in inputs)})"


def _python_type(member: Abi, *, returned: bool = False) -> str:
    kind = str(member["type"])
    if kind.endswith("[]"):
        inner = _python_type({**member, "type": kind[:-2]}, returned=returned)
        return f"tuple[{inner}, ...]" if returned else f"Sequence[{inner}]"
    if kind == "tuple":
        return "Struct"
    if kind.startswith("uint"):
        return "int"
    if kind.startswith("bytes"):
        return "bytes"
    return {"address": "str", "string": "str", "bool": "bool"}[kind]


def _bytes(value: bytes) -> str:
    return f'bytes.fromhex("{value.hex()}")'


def _snake(name: str) -> str:
    if name == "id":
        return "task_id"
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.replace("URI", "Uri")).lower()


if __name__ == "__main__":
    TARGET.write_text(source())
