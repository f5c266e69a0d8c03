"""Which signals ask a process of ours to stop in order, everything saved: all that would end it and can be taken.

Ctrl-C, SIGTERM and a terminal that hangs up; SIGQUIT, a key like Ctrl-C, which would leave a terminal as the dashboard
has it, and a core file with every private key of the fleet; SIGUSR1 and SIGUSR2, by which batch systems announce the
end of a job; and SIGXCPU, by which the kernel announces that of its CPU time.
"""

import signal
from typing import Final

_ASKING: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
    signal.SIGHUP,
)
_INSISTING: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return them; one that is ignored is not among them, as ``nohup`` has it with SIGHUP.

    A shell ignores SIGINT and SIGQUIT for what it puts into the background, and there they stay what they were.
    """
    always = (signal.SIGINT, signal.SIGTERM)
    return tuple(each for each in _ASKING if each in always or signal.getsignal(each) is not signal.SIG_IGN)


def insists(number: int) -> bool:
    """Say whether a signal after the first asks to stop at once.

    A terminal hangs up for itself and for its shell, and a kernel announces the end of CPU time each second.
    """
    return number in _INSISTING


def leave_to_parent() -> None:
    """Let the process that started this one answer them: who signals all of a job means that one. SIGTERM stays."""
    for each in _ASKING:
        if each is not signal.SIGTERM:
            signal.signal(each, signal.SIG_IGN)
