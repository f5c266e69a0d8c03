"""Exit codes: one number for each way that a run can end (a contract that scripts rely on, DESIGN §5)."""

from enum import IntEnum
from typing import Final

from estsim.measure.summary import Verdict


class Exit(IntEnum):
    """The codes; 1 is left to our own bugs, which end in a traceback."""

    PASSED = 0
    USAGE = 2
    FAILED = 3
    SATURATED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


OF_VERDICT: Final = {
    Verdict.PASSED: Exit.PASSED,
    Verdict.FAILED: Exit.FAILED,
    Verdict.SATURATED: Exit.SATURATED,
    Verdict.UNREACHABLE: Exit.UNREACHABLE,
    Verdict.ABORTED: Exit.INTERRUPTED,
}
