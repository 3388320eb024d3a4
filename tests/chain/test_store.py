"""The content store: whole or not at all, limited, and never outside its root."""

import errno
import os
import socket
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.store import (
    BadKey,
    BadStoreUrl,
    ContentMismatch,
    ContentMissing,
    ContentStore,
    ReadOnlyStore,
    StoreUnavailable,
    TooLarge,
    input_key,
    manifest_key,
    output_key,
    params_key,
    receipt_key,
)
from protocol.digest import sha256

MEBIBYTE = 1 << 20


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    url = str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"
    return ContentStore(url)


def test_what_is_put_is_got(store):
    for data in (b"", b"hello", b"\0" * MEBIBYTE):
        store.put("inputs/a", data)
        assert store.get("inputs/a", MEBIBYTE) == data
        assert store.get_checked("inputs/a", sha256(data), MEBIBYTE) == data
    assert store.exists("inputs/a")
    assert not store.exists("inputs/b")


@pytest.mark.parametrize("count", [1, 40])
def test_many_put_together_are_got_each(store, count):
    content = {f"{number:064x}/output": bytes([number]) * number for number in range(count)}
    store.put_many(content)
    assert {key: store.get(key, MEBIBYTE) for key in content} == content
    with pytest.raises(BadKey):
        store.put_many({"fine": b"", "../out": b""})
    assert not store.exists("fine")


def test_what_is_not_there_is_missing(store):
    with pytest.raises(ContentMissing) as caught:
        store.get("inputs/a", 10)
    assert caught.value.exit_status == 3


def test_other_bytes_are_a_mismatch(store):
    store.put("a", b"one")
    with pytest.raises(ContentMismatch):
        store.get_checked("a", sha256(b"two"), 10)


def test_a_bait_is_refused_unread(store):
    store.put("a", b"x" * 11)
    assert store.get("a", 11) == b"x" * 11
    with pytest.raises(TooLarge):
        store.get("a", 10)


def test_a_sparse_gigabyte_costs_neither_time_nor_memory(tmp_path):
    with (tmp_path / "bait").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(TooLarge):
        ContentStore(str(tmp_path)).get("bait", 1_000)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "..",
        "a/../b",
        "../a",
        "a//b",
        "a/",
        ".hidden",
        "a/.partial",
        "a\0b",
        "a b",
        "a\\b",
        "ä",
        "x" * 257,
    ],
)
def test_a_key_that_could_lead_out_is_refused(store, key):
    for use in (lambda: store.get(key, 9), lambda: store.put(key, b""), lambda: store.exists(key)):
        with pytest.raises(BadKey):
            use()


@given(st.text(max_size=30))
def test_no_key_reaches_outside_of_the_root(key):
    try:
        ContentStore("/nowhere").get(key, 1)
    except BadKey:
        return
    except StoreUnavailable:
        assert os.path.normpath(f"/nowhere/{key}").startswith("/nowhere/")


def test_links_pipes_and_keys_that_lead_to_no_plain_file_are_missing(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "store"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "endless").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "file").write_bytes(b"")
    # Missing, not unavailable: whoever wrote the key must not make a reader wait for ever.
    for key in ("link", "endless", "pipe", "folder", "file/below", "x" * 256):
        with pytest.raises(ContentMissing):
            ContentStore(str(root)).get(key, 10)


def test_a_crash_in_the_middle_leaves_the_old_bytes_and_no_litter(tmp_path, monkeypatch):
    store = ContentStore(str(tmp_path))
    store.put("a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        store.put("a", b"new")
    monkeypatch.undo()
    assert store.get("a", 10) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_gone_is_unavailable_and_not_empty(tmp_path):
    store = ContentStore(str(tmp_path / "mount"))
    with pytest.raises(StoreUnavailable, match="not there"):
        store.get("a", 1)
    with pytest.raises(StoreUnavailable, match="not there"):
        store.exists("a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        ContentStore(str(tmp_path / "file")).put("a", b"")


def test_a_read_only_store_takes_nothing(tmp_path):
    ContentStore(str(tmp_path)).put("a", b"x")
    store = ContentStore(str(tmp_path), read_only=True)
    assert store.get("a", 9) == b"x"
    with pytest.raises(ReadOnlyStore):
        store.put("a", b"y")


def test_a_path_and_its_file_address_are_one_store(tmp_path):
    folder = tmp_path / "with space"
    ContentStore(str(folder)).put("a", b"x")
    again = ContentStore(ContentStore(str(folder)).url)
    assert again.get("a", 9) == b"x"
    assert again.url == folder.as_uri()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ssh://host/x",
        "zip::file:///x",
        "reference://x",
        "github://a:b@/",
        "file://host/x",
        "https://[x",
        "https://host:99999/x",
    ],
)
def test_an_address_that_is_none_or_could_run_or_unpack_something_is_refused(url):
    with pytest.raises(BadStoreUrl):
        ContentStore(url)


def test_a_driver_that_is_not_installed_is_unavailable():
    with pytest.raises(StoreUnavailable) as caught:
        ContentStore("s3://user:secret@bucket/path").get("a", 1)
    assert "secret" not in str(caught.value)


def test_a_server_that_says_nothing_holds_nobody(monkeypatch):
    monkeypatch.setattr("chain.backends._HTTP_SILENT_SECS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            ContentStore(f"http://{host}:{port}").get("a", 10)
    assert time.monotonic() - started < 10


def test_keys_are_where_an_auditor_looks():
    digest = bytes(range(32))
    assert input_key(digest) == f"inputs/{digest.hex()}"
    assert params_key(digest) == f"params/{digest.hex()}"
    assert manifest_key(digest) == f"models/{digest.hex()}/manifest.json"
    assert (output_key(digest), receipt_key(digest)) == (f"{digest.hex()}/output", f"{digest.hex()}/receipt")


def test_a_server_that_is_away_has_not_lost_the_file():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(StoreUnavailable):
        ContentStore(f"http://127.0.0.1:{port}").get("a", 10)


def test_what_a_server_does_not_have_is_missing(tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = ContentStore(f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(ContentMissing):
            store.get("a", 10)
        (tmp_path / "a").write_bytes(b"here")
        assert store.get("a", 10) == b"here"
        server.shutdown()
