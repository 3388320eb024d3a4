"""What a worker vouches for: the body it commits to, the item it posts, the document it stores."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, fields

from protocol.abi import address_word, parse_address, uint_word
from protocol.digest import (
    JsonValue,
    canonical_json,
    canonical_text,
    from_hex,
    json_digest,
    keccak,
    parse_json,
    sha256,
    to_hex,
)
from protocol.domain import Domain, typed_digest
from protocol.errors import BadInput
from protocol.form import Form, blank

BODY_TYPE = (
    "Body(bytes32 taskId,address worker,bytes32 outputRoot,bytes32 tableDigest,bytes32 engineDigest,"
    "bytes32 strategyDigest,uint32 promptTokens,uint64 startedAt,uint64 finishedAt)"
)
BODY_TYPEHASH = keccak(BODY_TYPE.encode())
DOCUMENT_VERSION = 1
MAX_RECEIPT_BYTES = 16 * 1024 * 1024
_UINT32 = 1 << 32
_UINT64 = 1 << 64
_FINISH_REASONS = frozenset({"stop", "length", "error"})


class BadReceipt(BadInput):
    """A receipt document that is malformed or does not match its own digests."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("RECEIPT-001", field, value, fix)


@dataclass(frozen=True, slots=True)
class Body:
    """Digests are 32 bytes, times unix milliseconds, `worker` in EIP-55 form."""

    task_id: bytes
    worker: str
    output_root: bytes
    table_digest: bytes
    engine_digest: bytes
    strategy_digest: bytes
    prompt_tokens: int
    started_at_ms: int
    finished_at_ms: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """An item of `postBatch`: `body` is the EIP-712 digest of the Body."""

    task_id: bytes
    body: bytes
    output_tokens: int


@dataclass(frozen=True, slots=True)
class TableRow:
    """One prompt's outcome: how many tokens came out and why it stopped ("stop", "length" or "error")."""

    output_tokens: int
    finish_reason: str


def body_digest(domain: Domain, body: Body) -> bytes:
    """EIP-712 digest of the body under the market's domain."""
    return typed_digest(
        domain,
        keccak(
            b"".join(
                (
                    BODY_TYPEHASH,
                    body.task_id,
                    address_word(body.worker),
                    body.output_root,
                    body.table_digest,
                    body.engine_digest,
                    body.strategy_digest,
                    uint_word(body.prompt_tokens),
                    uint_word(body.started_at_ms),
                    uint_word(body.finished_at_ms),
                )
            )
        ),
    )


def body_tuple(body: Body) -> tuple[str | bytes | int, ...]:
    """Members in the order of the ABI."""
    return (
        body.task_id,
        body.worker,
        body.output_root,
        body.table_digest,
        body.engine_digest,
        body.strategy_digest,
        body.prompt_tokens,
        body.started_at_ms,
        body.finished_at_ms,
    )


def leaf(receipt: Receipt) -> bytes:
    """The receipt's leaf in its batch; hashed twice, so that no inner node can pose as a leaf."""
    return keccak(keccak(receipt.task_id + uint_word(receipt.output_tokens) + receipt.body))


def verdict(body: Body, output_tokens: int) -> bytes:
    """What honest replicas agree on: no engine, no worker, no strategy, no time."""
    return keccak(
        body.output_root + body.table_digest + uint_word(body.prompt_tokens) + uint_word(output_tokens)
    )


def commitment(body: bytes, output_tokens: int, salt: bytes) -> bytes:
    """What a replica commits to before anybody reveals; `body` is the Body's digest, which binds task and worker."""
    return keccak(body + uint_word(output_tokens) + salt)


def replica_salt(private_key: bytes, task_id: bytes) -> bytes:
    """HMAC-SHA256 of the task's id under the worker's key: nobody guesses it, and a lost disk does not lose it."""
    return hmac.digest(private_key, task_id, "sha256")


def table_digest(table: tuple[TableRow, ...]) -> bytes:
    """sha256 of the canonical JSON list of [output tokens, finish reason], one per prompt in input order."""
    return sha256(_table_text(table).encode())


def document_bytes(
    domain: Domain,
    body: Body,
    output_tokens: int,
    table: tuple[TableRow, ...],
    *,
    engine: bytes,
    selection: bytes,
    timings: bytes,
) -> bytes:
    """A `ReceiptDocument` as it is stored; `engine`, `selection` and `timings` are canonical JSON already."""
    return _DOCUMENT.filled(
        chain_id=domain.chain_id,
        market=canonical_text(domain.market),
        task_id=_hex_text(body.task_id),
        worker=canonical_text(body.worker),
        output_root=_hex_text(body.output_root),
        table_digest=_hex_text(body.table_digest),
        engine_digest=_hex_text(body.engine_digest),
        strategy_digest=_hex_text(body.strategy_digest),
        prompt_tokens=body.prompt_tokens,
        started_at_ms=body.started_at_ms,
        finished_at_ms=body.finished_at_ms,
        output_tokens=output_tokens,
        table=_table_text(table),
        engine=engine.decode(),
        selection=selection.decode(),
        timings=timings.decode(),
    )


@dataclass(frozen=True, slots=True)
class ReceiptDocument:
    """What lies in the store at TASKID/receipt: the body and the preimage of each digest in it.

    `engine` hashes to engineDigest and `selection` (the selector's record) to strategyDigest, both as the
    sha256 of their canonical JSON. `timings` is for measurement only and is not committed to.
    """

    domain: Domain
    body: Body
    output_tokens: int
    table: tuple[TableRow, ...]
    engine: Mapping[str, JsonValue]
    selection: Mapping[str, JsonValue]
    timings: Mapping[str, JsonValue]

    def receipt(self) -> Receipt:
        return Receipt(self.body.task_id, body_digest(self.domain, self.body), self.output_tokens)

    def check(self) -> None:
        """Raises BadReceipt unless every digest in the body is that of what the document holds."""
        for field, said, found in (
            ("table_digest", self.body.table_digest, table_digest(self.table)),
            ("engine_digest", self.body.engine_digest, json_digest(self.engine)),
            ("strategy_digest", self.body.strategy_digest, json_digest(self.selection)),
        ):
            if said != found:
                raise BadReceipt(field, said, f"the document hashes to {to_hex(found)}")
        counted = sum(row.output_tokens for row in self.table)
        if counted != self.output_tokens:
            raise BadReceipt("output_tokens", self.output_tokens, f"the table adds up to {counted}")

    def encoded(self) -> bytes:
        return document_bytes(
            self.domain,
            self.body,
            self.output_tokens,
            self.table,
            engine=canonical_json(self.engine),
            selection=canonical_json(self.selection),
            timings=canonical_json(self.timings),
        )

    @staticmethod
    def decode(data: bytes) -> "ReceiptDocument":
        """From stored bytes; types and ranges are checked, digests are not (see `check`).

        Raises BadReceipt, MalformedJson.
        """
        top = _object("receipt", parse_json("receipt", data, max_bytes=MAX_RECEIPT_BYTES))
        _fields("receipt", top, _DOCUMENT_FIELDS)
        if top["quern"] != DOCUMENT_VERSION:
            raise BadReceipt("quern", top["quern"], f"only version {DOCUMENT_VERSION} is known")
        body = _object("body", top["body"])
        _fields("body", body, _BODY_FIELDS)
        return ReceiptDocument(
            domain=Domain(_uint("chain_id", top, _UINT64), parse_address("market", top["market"])),
            body=Body(
                task_id=from_hex("task_id", body["task_id"]),
                worker=parse_address("worker", body["worker"]),
                output_root=from_hex("output_root", body["output_root"]),
                table_digest=from_hex("table_digest", body["table_digest"]),
                engine_digest=from_hex("engine_digest", body["engine_digest"]),
                strategy_digest=from_hex("strategy_digest", body["strategy_digest"]),
                prompt_tokens=_uint("prompt_tokens", body, _UINT32),
                started_at_ms=_uint("started_at_ms", body, _UINT64),
                finished_at_ms=_uint("finished_at_ms", body, _UINT64),
            ),
            output_tokens=_uint("output_tokens", top, _UINT32),
            table=_read_table(top["table"]),
            engine=_object("engine", top["engine"]),
            selection=_object("selection", top["selection"]),
            timings=_object("timings", top["timings"]),
        )


_DOCUMENT_FIELDS = frozenset(
    {"quern", "chain_id", "market", "body", "output_tokens", "table", "engine", "selection", "timings"}
)
_BODY_FIELDS = frozenset(field.name for field in fields(Body))
_BLANKS: dict[str, JsonValue] = {name: blank(name) for name in _DOCUMENT_FIELDS - {"quern", "body"}}
_DOCUMENT = Form({"quern": DOCUMENT_VERSION, "body": {name: blank(name) for name in _BODY_FIELDS}, **_BLANKS})


def _hex_text(digest: bytes) -> str:
    """In canonical JSON."""
    return f'"0x{digest.hex()}"'


def _table_text(table: tuple[TableRow, ...]) -> str:
    """In canonical JSON."""
    rows = (f"[{row.output_tokens},{canonical_text(row.finish_reason)}]" for row in table)
    return f"[{','.join(rows)}]"


def _read_table(value: JsonValue) -> tuple[TableRow, ...]:
    if not isinstance(value, list):
        raise BadReceipt("table", value, "give a list of [output tokens, finish reason]")
    rows = []
    for number, row in enumerate(value):
        match row:
            case [int(tokens), str(reason)] if _is_uint(tokens, _UINT32) and reason in _FINISH_REASONS:
                rows.append(TableRow(int(tokens), reason))
            case _:
                raise BadReceipt(f"table row {number}", row, "give [output tokens, stop|length|error]")
    return tuple(rows)


def _object(field: str, value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise BadReceipt(field, value, "give a JSON object")
    return value


def _fields(field: str, value: dict[str, JsonValue], wanted: frozenset[str]) -> None:
    if value.keys() != wanted:
        odd = sorted(value.keys() ^ wanted)
        raise BadReceipt(field, odd, "these fields are missing or unknown")


def _uint(field: str, holder: dict[str, JsonValue], limit: int) -> int:
    value = holder[field]
    if not isinstance(value, int) or not _is_uint(value, limit):
        raise BadReceipt(field, value, f"give a whole number from 0 to {limit - 1}")
    return value


def _is_uint(value: int, limit: int) -> bool:
    return not isinstance(value, bool) and 0 <= value < limit
