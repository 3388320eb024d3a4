"""What prompts have in common, with each other and with themselves: what caches and n-gram speculation live on."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

# Cache block sizes, in tokens, for which shared prefixes are counted; 1 counts every shared token.
SHARING_BLOCKS = (1, 16, 32, 64, 128)

# Trigrams are counted in at most this many tokens, so that extraction stays well under a millisecond.
_TRIGRAM_SAMPLE = 2_048


def shared_tokens(ordered: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Of prompts in sorted order: the tokens an earlier one has as its prefix too, one number per `SHARING_BLOCKS`.

    In sorted order the longest prefix shared with any earlier prompt is the one shared with the neighbour. At least one
    token of each prompt is always computed.
    """
    totals = [0] * len(SHARING_BLOCKS)
    for before, prompt in pairwise(ordered):
        shared = min(_common_prefix(before, prompt), len(prompt) - 1)
        for index, block in enumerate(SHARING_BLOCKS):
            totals[index] += shared - shared % block
    return tuple(totals)


def _common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def repeated_trigrams_ppm(ordered: Sequence[tuple[int, ...]]) -> int:
    """Of the trigrams of each prompt, those it contained before, per million; of a sample where prompts are long."""
    ends = list(accumulate(map(len, ordered)))
    stride = max(1, -(-ends[-1] // _TRIGRAM_SAMPLE))
    seen = repeated = 0
    for prompt in ordered[::stride]:
        window = prompt[:_TRIGRAM_SAMPLE]
        trigrams = max(len(window) - 2, 0)
        seen += trigrams
        repeated += trigrams - len(set(zip(window, window[1:], window[2:], strict=False)))
    return 1_000_000 * repeated // seen if seen else 0
