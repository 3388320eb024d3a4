"""A proxy before a devnet's node that does to requests, and to the chain, what a seeded schedule says."""

import http.server
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, cast

import requests

from chain.faulty_http import LocalServer, reply, reply_cut, reset
from chain.reorg import Reorganised, Reorganiser
from chain.rpc import NodeError, Rpc, RpcUnavailable
from chain.schedule import Fault, Injection, PlannedReorg, Schedule
from chain.stale import Fields, answered_by, asked_of
from protocol.digest import JsonValue, keccak
from protocol.errors import BadInput

LOG = logging.getLogger("quern.chaos")
_SEND = "eth_sendRawTransaction"
_MARK_SECS = 0.05
_UPSTREAM_SECS = 30.0
# Of the resets, this share comes before the node has heard of the request, the rest after.
_UNHEARD_SHARE = 0.5


class ChaosPortTaken(BadInput):
    """Somebody listens there, or it is no port."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(
            "DEVNET-008", "port", port, f"{reason}; give a free port, or none to have one chosen"
        )


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was done, and to which calls."""

    injection: Injection
    methods: tuple[str, ...]

    def __str__(self) -> str:
        counted = ", ".join(f"{method} x{count}" for method, count in Counter(self.methods).items())
        found = self.injection
        return f"request {found.number}: {found.fault} {found.amount:g} ({counted})"


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """A reorganisation that was planned; `done` is None where the chain was too short for it."""

    planned: PlannedReorg
    done: Reorganised | None

    def __str__(self) -> str:
        if self.done is None:
            return f"reorganisation {self.planned.number}: the chain is too short for {self.planned.depth} blocks"
        done = self.done
        return (
            f"reorganisation {self.planned.number}: {done.depth} blocks after {done.fork_block} orphaned,"
            f" {done.sent_again} transactions sent again, {done.left_out} left out"
        )


class Chaos:
    """Serves on 127.0.0.1 while it is entered; `told` hears of everything that is done, on the thread that did it.

    The n-th request meets the fault number n of the schedule, so one client that asks the same meets the same.
    """

    def __init__(
        self,
        upstream: str,
        schedule: Schedule,
        told: Callable[[Injected | Reorganisation], None],
        port: int = 0,
    ) -> None:
        self._upstream = upstream
        self._schedule = schedule
        self._told = told
        self._reorganiser = Reorganiser(Rpc(upstream))
        self._gate = _Gate()
        self._counting = threading.Lock()
        self._requests = 0
        self._is_calm = False
        self._stopping = threading.Event()
        self._sessions = threading.local()
        try:
            self._server = LocalServer(port, self._answer)
        except (OSError, OverflowError) as error:
            raise ChaosPortTaken(port, str(error)) from error
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": _MARK_SECS}),
            threading.Thread(target=self._drive),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    @property
    def requests(self) -> int:
        """How many have come so far."""
        return self._requests

    def calm(self) -> None:
        """No more trouble from now on, once a reorganisation under way has ended."""
        self._is_calm = True
        self._threads[1].join()

    def reorganise(self, planned: PlannedReorg) -> Reorganised | None:
        """Now, and no request sees the chain half-way."""
        with self._gate.closed():
            done = self._reorganiser.reorganise(planned.depth, planned.lost_share, planned.draw)
        self._told(Reorganisation(planned, done))
        return done

    def mark(self) -> None:
        """Let the newest block be one to fork at."""
        with self._gate.closed():
            self._reorganiser.mark()

    def _drive(self) -> None:
        """Marks blocks, and reorganises when it is time."""
        number = 0
        planned = self._schedule.reorg(number)
        due = time.monotonic() + planned.pause_secs if planned else float("inf")
        while planned is not None and not self._is_calm and not self._stopping.wait(_MARK_SECS):
            try:
                self.mark()
                if time.monotonic() < due:
                    continue
                self.reorganise(planned)
            except (RpcUnavailable, NodeError) as error:
                LOG.warning("the node itself fails: %s", error)
                continue
            number += 1
            planned = self._schedule.reorg(number)
            due = time.monotonic() + planned.pause_secs if planned else float("inf")

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, posted: bytes) -> None:
        calls, is_batch = _read(posted)
        with self._counting:
            number = self._requests
            self._requests += 1
        sends = any(call.get("method") == _SEND for call in calls)
        injection = None if self._is_calm else self._schedule.at(number, sends=sends)
        if injection is not None:
            self._told(Injected(injection, tuple(str(call.get("method")) for call in calls)))
            if self._refused(handler, injection):
                return
        with self._gate.passed():
            answer = self._forward(calls, injection, posted, is_batch=is_batch)
        if injection is not None and injection.fault is Fault.RESET:
            reset(handler)
        elif injection is not None and injection.fault is Fault.TRUNCATE:
            reply_cut(handler, answer, injection.amount)
        else:
            reply(handler, answer)

    def _refused(self, handler: http.server.BaseHTTPRequestHandler, injection: Injection) -> bool:
        """Whether the request ends here, before the node has heard of it."""
        match injection.fault:
            case Fault.BUSY:
                reply(handler, b"", 429, {"Retry-After": f"{injection.amount:g}"})
                return True
            case Fault.RESET if injection.amount < _UNHEARD_SHARE:
                reset(handler)
                return True
            case Fault.LAG:
                self._stopping.wait(injection.amount)
            case _:
                pass
        return False

    def _forward(
        self, calls: list[Fields], injection: Injection | None, posted: bytes, *, is_batch: bool
    ) -> bytes:
        match injection:
            case Injection(fault=Fault.STALE, amount=blocks):
                head = max(0, self._head() - int(blocks))
                answers = self._ask([asked_of(call, head) for call in calls])
                answers = [
                    answered_by(call, answer, head) for call, answer in zip(calls, answers, strict=True)
                ]
            case Injection(fault=Fault.DROP_SEND):
                kept = iter(self._ask([call for call in calls if call.get("method") != _SEND]))
                answers = [_taken(call) if call.get("method") == _SEND else next(kept) for call in calls]
            case Injection(fault=Fault.DUPLICATE_SEND):
                self._ask([call for call in calls if call.get("method") == _SEND])
                return self._post(posted)
            case _:
                return self._post(posted)
        return json.dumps(answers if is_batch else answers[0]).encode()

    def _head(self) -> int:
        (answer,) = self._ask([{"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}])
        return int(str(answer["result"]), 16)

    def _ask(self, calls: list[Fields]) -> list[Fields]:
        return [json.loads(self._post(json.dumps(call).encode())) for call in calls]

    def _post(self, body: bytes) -> bytes:
        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
        session = cast("requests.Session", self._sessions.session)
        headers = {"Content-Type": "application/json"}
        return session.post(self._upstream, data=body, headers=headers, timeout=_UPSTREAM_SECS).content


class _Gate:
    """Many pass at once, or one has it closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._passing = 0
        self._closed = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: not self._passing)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


def _read(posted: bytes) -> tuple[list[Fields], bool]:
    parsed: JsonValue = json.loads(posted)
    if isinstance(parsed, list):
        return [call for call in parsed if isinstance(call, dict)], True
    return ([parsed] if isinstance(parsed, dict) else []), False


def _taken(send: Fields) -> Fields:
    """What a node says that takes a transaction, and this one loses."""
    params = send.get("params")
    raw = bytes.fromhex(str(params[0])[2:]) if isinstance(params, list) and params else b""
    return {"jsonrpc": "2.0", "id": send.get("id"), "result": "0x" + keccak(raw).hex()}
