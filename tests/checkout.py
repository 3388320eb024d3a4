"""The checkout as a whole, for the tests of it: its folders, its files, its declared requirements."""

import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("protocol", "chain", "engine", "metainf", "worker", "wallet", "auditor", "quern")


def tracked_files() -> list[Path]:
    """Every file that git would put in a fresh clone, as absolute paths that exist."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def declared_requirements() -> dict[str, list[Requirement]]:
    """The requirements of pyproject.toml by extra; the core's own under the empty name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: [req for line in lines if (req := Requirement(line)).name != project["name"]]
        for extra, lines in groups.items()
    }


def pinned_versions() -> dict[str, str]:
    """Distribution name to version, from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split(";")[0].strip().partition("==") for line in lines if line and not line.startswith("#")]
    return {name: version for name, _, version in pins}
