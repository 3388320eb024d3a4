"""What this machine's processors can do, measured in about a fifth of a second."""

import os
import time
from collections.abc import Iterator
from pathlib import Path


def engine_threads() -> int:
    """As `OMP_NUM_THREADS` declares; one where it declares none."""
    declared = os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]
    return int(declared) if declared.isdecimal() and int(declared) > 0 else 1


def cpu_name() -> str:
    """As the kernel names the first processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def _two_digits(value: float) -> int:
    return int(float(f"{value:.1e}"))


def _best_cpu_secs(work: Iterator[None]) -> float:
    """The quickest of several steps of `work`, in CPU seconds of this thread, robust against busy
    neighbours.
    """
    best = float("inf")
    while True:
        started = time.process_time()
        try:
            next(work)
        except StopIteration:
            return best
        best = min(best, time.process_time() - started)


def copy_bytes_per_s() -> int:
    """Bytes a second that one thread copies, read and write counted; two digits."""
    import numpy as np

    source = np.ones(4 << 20, dtype=np.float32)
    target = np.empty_like(source)

    def copies() -> Iterator[None]:
        for _ in range(8):
            np.copyto(target, source)
            yield

    return _two_digits(2 * source.nbytes / _best_cpu_secs(copies()))


def matmul_flops() -> int:
    """Single-precision operations a second of one thread in products of matrices; two digits."""
    import numpy as np

    # Matrices this small are multiplied by one thread, whatever number the library would use for greater ones.
    side, count = 64, 250
    matrices = np.ones((count, side, side), dtype=np.float32)

    def products() -> Iterator[None]:
        for _ in range(40):
            matrices @ matrices
            yield

    return _two_digits(2 * count * side**3 / _best_cpu_secs(products()))
