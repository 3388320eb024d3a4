"""How the worker puts durations, moments and its one need for people."""

import time


def shown_secs(secs: float) -> str:
    """As exact as anybody wants to know: "35 ms", "1.2 s", "48 s", "12 min"."""
    if secs < 1:
        return f"{secs * 1000:.0f} ms"
    if secs < 10:
        return f"{secs:.1f} s"
    return f"{secs:.0f} s" if secs < 600 else f"{secs / 60:.0f} min"


def shown_moment(at: float, *, exact: bool = True) -> str:
    """Date and time of unix seconds in UTC, which it names, to the millisecond or else to the second."""
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return f"{text}.{int(at % 1 * 1000):03d} UTC" if exact else f"{text} UTC"


def shown_end(until: int, since: int) -> str:
    """A moment of the chain's clock and how far it lies ahead, both from unix seconds: "15:04:05 UTC, in 300 s"."""
    return f"{time.strftime('%H:%M:%S', time.gmtime(until))} UTC, in {until - since} s"


def no_deposit(address: str) -> str:
    """What to do when there is nothing to bond with."""
    return f"no deposit for a bond, so nothing can be claimed: quern money deposit AMOUNT --for {address}"
