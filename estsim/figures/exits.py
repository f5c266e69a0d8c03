"""Exit codes: a number for each verdict and for errors of usage (a contract: README, "Read the result")."""

from enum import IntEnum
from typing import Final

from estsim.figures.verdict import Verdict


class Exit(IntEnum):
    """The exit codes; 1 is for internal errors."""

    PASSED = 0
    ERROR = 1
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
    Verdict.ERROR: Exit.ERROR,
}
