"""A copy of what forge needs of the checkout: for runs that break the contracts, or compile them in another way."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from chain.node import HARDHAT_DIR, PROJECT_ROOT, node_binary

# Tests that say nothing of a copy: it is compiled without optimizer, so its sizes and gas are not those deployed.
WEIGHTS = "^test_size_|LessThanItsBudget"
_PIPELINES = re.compile(
    r"^additional_compiler_profiles = .*?\n(?=\w)|^compilation_restrictions = \[.*?^\]\n",
    re.DOTALL | re.MULTILINE,
)


class Copy:
    """A checkout of its own with the sources that forge needs, so that no break ever touches the real one."""

    def __init__(self, folder: Path) -> None:
        self.hardhat = folder / "hardhat-local"
        # Not a link as in the checkout: forge measures no file that lies outside its project.
        self.contracts = self.hardhat / "contracts"
        self.hardhat.mkdir(parents=True, exist_ok=True)
        self._renew(PROJECT_ROOT / "contracts", self.contracts)
        self._renew(PROJECT_ROOT / "tests" / "vectors", folder / "tests" / "vectors")
        for name in ("test", "foundry.toml", "forge", "solc", "solc.cjs"):
            self._renew(HARDHAT_DIR / name, self.hardhat / name)
        self._quicken(self.hardhat / "foundry.toml")
        if not (self.hardhat / "node_modules").is_symlink():
            (self.hardhat / "node_modules").symlink_to(HARDHAT_DIR / "node_modules")

    @staticmethod
    def _quicken(settings: Path) -> None:
        """Without optimizer and IR a mutant compiles in a tenth of the time; what it does is the same."""
        text = _PIPELINES.sub("", settings.read_text())
        settings.write_text(text.replace("optimizer = true", "optimizer = false\ncode_size_limit = 1000000"))

    def forge(
        self, settings: Mapping[str, str], limit_secs: float, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """One run of forge in the copy; `settings` are its FOUNDRY_ variables. Raises TimeoutExpired."""
        environment = {**os.environ, **settings, "QUERN_NODE": str(node_binary())}
        return subprocess.run(
            [self.hardhat / "forge", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit_secs,
            check=False,
        )

    @staticmethod
    def _renew(source: Path, target: Path) -> None:
        if source.is_file():
            shutil.copy(source, target)
        else:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
