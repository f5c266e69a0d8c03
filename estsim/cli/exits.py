"""Exit codes: one number for each way that a command can end (a contract that scripts rely on)."""

from enum import IntEnum

from estsim.engine.run import RunResult
from estsim.measure.summary import Ending, Verdict


class Exit(IntEnum):
    """The codes; 1 is left to our own bugs, which end in a traceback."""

    PASSED = 0
    USAGE = 2
    FAILED = 3
    SATURATED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


_OF_VERDICT = {
    Verdict.PASSED: Exit.PASSED,
    Verdict.FAILED: Exit.FAILED,
    Verdict.SATURATED: Exit.SATURATED,
    Verdict.UNREACHABLE: Exit.UNREACHABLE,
    Verdict.ABORTED: Exit.INTERRUPTED,
}


def exit_code(result: RunResult) -> Exit:
    """Return the first code that applies; rows that could not be written are the user's disk, so usage."""
    if result.ending is not Ending.ABORTED and result.lost is not None:
        return Exit.USAGE
    return _OF_VERDICT[Verdict(result.summary["verdict"])]
