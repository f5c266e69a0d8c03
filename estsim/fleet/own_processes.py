"""How a process that a run has started came to its end, in words: of a worker, or of the run's own sandbox."""

import signal

from estsim.fleet.clock import NS_PER_S


def how_it_ended(code: int | None) -> str:
    """Return what is said after its name, its exit code given; None for one that is there and says nothing."""
    if code is None:
        return "stopped responding"
    if code < 0:
        known = {each.value: each.name for each in signal.Signals}
        return f"was killed ({known.get(-code, f'signal {-code}')})"
    return f"ended with code {code}"


def sandbox_ended(code: int, *, at_ns: int) -> str:
    """Return the sentence for a sandbox that ended before its run: that is this machine's, and no server's failure."""
    return f"the run's sandbox {how_it_ended(code)} after {at_ns / NS_PER_S:.1f} s"
