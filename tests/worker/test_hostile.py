"""Whatever strangers send, the worker turns it away by its code, works on, and shows none of it raw to a terminal."""

import re
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from protocol.batchfile import Prompt
from protocol.lifecycle import TaskState
from protocol.receipt import ReceiptDocument
from quern import cli as command_line
from tests.worker.harness import MarketPlace, codes, eventually
from tests.worker.hostile import PAYLOADS, SOUND_BUT_ODD, Payload
from worker.report import status
from worker.screen import render
from worker.template import render as render_settings

RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING) quern\.\S+ \S")
TOGETHER = 16


@pytest.fixture
def silent() -> Iterator[Payload]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        uri = f"https://127.0.0.1:{server.getsockname()[1]}/input"
        yield Payload("a server that says nothing", "FETCH-009", lambda place: place.request(input_uri=uri))


def submit_all(place: MarketPlace, payloads: list[Payload]) -> list[bytes]:
    requests = [payload.make(place) for payload in payloads]
    ids: list[bytes] = []
    for first in range(0, len(requests), TOGETHER):
        ids += place.submit(*requests[first : first + TOGETHER])
    return ids


def said_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        command_line.main(list(arguments))
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_all_of_it_is_turned_away_by_its_code_and_an_honest_task_is_served_after(
    place, start, silent, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    payloads = [*PAYLOADS, silent]
    assert len({payload.name for payload in payloads}) == len(payloads) >= 90
    ids = submit_all(place, payloads)
    config = place.config()
    start(config)
    eventually(lambda: status(config).declined == len(ids), "everything is turned away")
    (odd, plain) = place.submit(
        place.request([Prompt(f"odd-{n}", prompt=text) for n, text in enumerate(SOUND_BUT_ODD)]),
        place.request(),
    )
    place.await_states([odd, plain], TaskState.SETTLED)

    found = {payload.name: codes(config, one) for payload, one in zip(payloads, ids, strict=True)}
    assert found == {payload.name: [payload.code] for payload in payloads}
    assert set(place.states(ids)) == {TaskState.OPEN}
    assert not list(Path(tmp_path).rglob("OWNED"))

    log = (config.state_dir / "worker.log").read_text("utf-8")
    assert [line for line in log.splitlines() if not LOG_LINE.match(line)] == []
    shown = StringIO()
    Console(file=shown, force_terminal=True, width=100).print(render(status(config)))
    settings = tmp_path / "config.toml"
    settings.write_text(render_settings(config))
    monkeypatch.setenv("QUERN_HOME", str(tmp_path / "home"))
    terminals = [log, COLOUR.sub("", shown.getvalue())]
    terminals += [said_by(capsys, "worker", "why", f"0x{one.hex()}", "-c", str(settings)) for one in ids]
    market = ("--deployment", str(place.home / "deployment.json"))
    store = ("--store", place.store.url)
    for command in ("watch", "result", "audit"):
        more = market if command == "watch" else (*market, *store)
        terminals.append(said_by(capsys, command, f"0x{odd.hex()}", *more))
    for text in terminals:
        assert text
        assert RAW.search(text) is None, repr(text)


def test_a_result_that_drives_a_terminal_does_so_nowhere(place, start, tmp_path, monkeypatch, capsys):
    """A worker, too, may be the stranger: its receipt names an engine and says why it chose, as it likes."""
    (one,) = place.submit(place.request())
    config = place.config()
    start(config)
    place.await_states([one], TaskState.SETTLED)
    path = place.home / "store" / one.hex() / "receipt"
    evil = path.read_bytes().replace(b'"engine":"fake"', b'"engine":"\\u001b[2J\\u202efake\\n"')
    assert evil != path.read_bytes()
    path.unlink()
    path.write_bytes(evil)
    assert "\x1b" in str(ReceiptDocument.decode(evil).engine["engine"])
    monkeypatch.setenv("QUERN_HOME", str(tmp_path / "home"))
    for command in ("result", "audit"):
        text = said_by(
            capsys,
            command,
            f"0x{one.hex()}",
            "--deployment",
            str(place.home / "deployment.json"),
            "--store",
            place.store.url,
        )
        assert text
        assert RAW.search(text) is None, repr(text)
