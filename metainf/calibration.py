"""One fixed piece of work, timed around every block of measurements, to tell how the machine did meanwhile."""

import time

# Together a few hundredths of a second: long enough for the clock, short beside a block.
_ROUNDS = 24
# Matrices this small are multiplied by one thread, whatever number the library would use for greater ones.
_SIDE, _COUNT = 64, 64
_FAR_BYTES = 16 << 20


def calibration_secs() -> float:
    """Processor seconds of this thread for products of matrices and walks through memory, as an engine mixes them."""
    import numpy as np

    matrices = np.full((_COUNT, _SIDE, _SIDE), 1 / _SIDE, dtype=np.float32)
    far = np.zeros(_FAR_BYTES // 8, dtype=np.int64)
    began = time.thread_time()
    for _ in range(_ROUNDS):
        matrices = matrices @ matrices
        far[::8] += 1
    return time.thread_time() - began
