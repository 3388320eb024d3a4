"""Files are there whole or not at all, and a new one never takes an old one's place."""

import stat

import pytest

from chain.files import create_file, replace_file, replace_files


def test_a_replaced_file_holds_the_new_bytes_and_nothing_lies_beside_it(tmp_path):
    file = tmp_path / "list.json"
    replace_file(file, b"old")
    replace_file(file, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("list.json", b"new")]


def test_a_created_file_is_its_owners_alone(tmp_path):
    create_file(tmp_path / "key", b"secret")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_creating_leaves_an_existing_file_as_it_is(tmp_path):
    (tmp_path / "key").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "key", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("key", b"first")]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path):
    taken = tmp_path / "folder"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        replace_file(taken, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_many_files_are_replaced_at_once_in_folders_that_need_not_exist(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    replace_files(tmp_path, {"a": b"new", "b/c": b"", "b/d/e": b"x" * 100_000})
    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "a": b"new",
        "b/c": b"",
        "b/d/e": b"x" * 100_000,
    }


def test_of_many_files_none_is_replaced_when_one_cannot_be_written_and_no_draft_stays(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OSError, match="directory"):
        replace_files(tmp_path, {"a": b"new", "a/below": b"impossible"})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]
