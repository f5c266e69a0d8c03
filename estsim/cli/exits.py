"""Which exit code a run of ours comes to."""

from estsim.engine.run import RunResult
from estsim.measure.exits import OF_VERDICT, Exit
from estsim.measure.summary import Ending, Verdict


def exit_code(result: RunResult) -> Exit:
    """Return the first code that applies; rows that could not be written are the user's disk, so usage."""
    if result.ending is not Ending.ABORTED and result.lost is not None:
        return Exit.USAGE
    return OF_VERDICT[Verdict(result.summary["verdict"])]
