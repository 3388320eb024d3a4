"""transformers must never find the CUDA builds of torch's companions, nor the network."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
for companion in ("torchvision", "torchaudio", "torchcodec"):
    sys.modules.setdefault(companion, None)  # type: ignore[arg-type]
