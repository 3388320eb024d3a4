"""What a person sees when the machine lacks something that set-up needs, and what set-up takes away again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import ROOT

NEEDED = (
    "bash",
    "dirname",
    "readlink",
    "id",
    "df",
    "awk",
    "cat",
    "cut",
    "sha256sum",
    "flock",
    "grep",
    "rm",
    "find",
    "env",
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that is a machine's whole PATH: all of set-up's own, none of its prerequisites."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None, name
        (programs / name).symlink_to(found)
    return programs


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the files that set-up reads, where nothing is set up."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(program: Path, machine: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(program)],
        cwd=cwd,
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )


def add_python(machine: Path, body: str = "") -> None:
    """The real Python 3.11 under its own name, or one with a fault that `body` (shell) describes."""
    python = machine / "python3.11"
    python.write_text(f'#!{machine}/bash\n{body}\nexec {os.path.realpath(sys.executable)} "$@"\n')
    python.chmod(0o755)


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("quern: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("script", ["demo", "test"])
def test_without_python_the_line_names_the_package(script: str, checkout: Path, machine: Path) -> None:
    done = run(checkout / "scripts" / script, machine, checkout)
    assert_one_line(done, "Python 3.11", "apt-get install python3.11")
    assert not (checkout / ".venv").exists()


def test_another_python_is_not_taken(checkout: Path, machine: Path) -> None:
    (machine / "python3").write_text(f"#!{machine}/bash\nexit 1\n")
    (machine / "python3").chmod(0o755)
    assert_one_line(run(checkout / "scripts/demo", machine, checkout), "Python 3.11")


def test_without_the_venv_module_the_line_names_its_package(checkout: Path, machine: Path) -> None:
    add_python(machine, 'case "$2" in *ensurepip*) exit 1 ;; esac')
    assert_one_line(run(checkout / "scripts/demo", machine, checkout), "python3.11-venv")


def test_without_a_compiler_the_line_names_its_package(checkout: Path, machine: Path) -> None:
    add_python(machine)
    assert_one_line(
        run(checkout / "scripts/demo", machine, checkout), "C compiler 'cc'", "apt-get install gcc"
    )
    assert not (checkout / ".venv").exists()


def test_with_too_little_disk_the_line_says_how_much(checkout: Path, machine: Path) -> None:
    add_python(machine)
    (machine / "cc").symlink_to("/bin/true")
    (machine / "df").unlink()
    (machine / "df").write_text(f"#!{machine}/bash\necho header\necho 'disk 100 90 10 90% there'\n")
    (machine / "df").chmod(0o755)
    assert_one_line(run(checkout / "scripts/demo", machine, checkout), "MiB of disk", "has 10")
    assert not (checkout / ".venv").exists()


def test_an_unknown_argument_of_test_is_refused_before_set_up(checkout: Path, machine: Path) -> None:
    done = subprocess.run(
        ["bash", str(checkout / "scripts/test"), "--fast"],
        env={"PATH": str(machine)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown argument '--fast'" in done.stderr
    assert not (checkout / ".venv").exists()


def test_clean_removes_what_was_made_and_nothing_else(checkout: Path, machine: Path, tmp_path: Path) -> None:
    made = [
        ".venv/bin/python",
        ".quern/state",
        "hardhat-local/node_modules/a",
        "chain/__pycache__/a.pyc",
        "demo-report.json",
    ]
    kept = ["chain/a.py", "notes.txt", "hardhat-local/package.json"]
    for name in made + kept:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("")
    done = run(checkout / "scripts/clean", machine, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [name for name in made if (checkout / name).exists()] == []
    assert [name for name in kept if not (checkout / name).exists()] == []
    assert (checkout / "scripts/_setup.sh").exists()
