"""What is a bug of ours, and what passes: errors on purpose, cancellations, interrupts, exits."""

import errno

import pytest

from estsim.errors import (
    IllegalTransition,
    InternalFailure,
    PreflightError,
    is_bug,
    leaves,
    noting,
    shortage,
    split_bug,
)

BUG, PURPOSE, INTERRUPT = KeyError(1), PreflightError("no server"), KeyboardInterrupt()


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BUG, True),
        (MemoryError(), True),
        (PURPOSE, False),
        (IllegalTransition("a state"), True),
        (InternalFailure("another process"), True),
        (INTERRUPT, False),
        (SystemExit(), False),
    ],
)
def test_what_is_a_bug(error: BaseException, expected: bool) -> None:  # noqa: FBT001 - of a table
    """What nobody meant to raise, and two errors of ours that say so."""
    assert is_bug(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOSPC, "no space"), "disk space"),
        (BlockingIOError(errno.EAGAIN, "fork"), "processes or threads"),
        (RuntimeError("can't start new thread"), "processes or threads"),
        (ExceptionGroup("all", [ExceptionGroup("inner", [MemoryError()])]), "memory"),
        (ExceptionGroup("all", [MemoryError(), BUG]), None),
        (RuntimeError("can't start"), None),
        (FileNotFoundError(errno.ENOENT, "gone"), None),
        (OSError("no number"), None),
        (PURPOSE, None),
    ],
)
def test_what_the_machine_ran_out_of(error: BaseException, expected: str | None) -> None:
    """Told by the exception alone, and only where all of a group say so."""
    assert shortage(error) == expected


def test_a_group_is_parted() -> None:
    """Bugs out of any depth; what is left keeps its shape."""
    group = BaseExceptionGroup("all", [INTERRUPT, ExceptionGroup("inner", [BUG, PURPOSE])])
    bug, rest = split_bug(group, on_purpose=True)
    assert isinstance(bug, ExceptionGroup)
    assert rest is not None
    assert ([*leaves(bug)], [*leaves(rest)]) == ([BUG], [INTERRUPT, PURPOSE])
    bug, rest = split_bug(group)
    assert bug is not None
    assert rest is not None
    assert ([*leaves(bug)], [*leaves(rest)]) == ([BUG, PURPOSE], [INTERRUPT])


def test_a_group_without_a_bug_is_left_as_it_is() -> None:
    """The very exception goes on."""
    group = BaseExceptionGroup("all", [INTERRUPT])
    assert split_bug(group) == (None, group)
    met: list[Exception] = []
    with pytest.RaisesGroup(KeyboardInterrupt) as raised, noting(met.append):
        _raise(group)
    assert raised.value is group
    assert met == []


def test_a_block_that_meets_a_bug_is_left_and_it_goes_on() -> None:
    """The bug is handed on, once."""
    met: list[Exception] = []
    with noting(met.append):
        _raise(BUG)
    with noting(met.append):
        next(iter([1][1:]))
    assert met[0] is BUG
    assert isinstance(met[1], StopIteration)


@pytest.mark.parametrize("error", [INTERRUPT, SystemExit(3), GeneratorExit()])
def test_an_order_to_end_passes(error: BaseException) -> None:
    """It is none of a bug's business."""
    with pytest.raises(type(error)), noting(lambda _: None):
        raise error


def test_what_was_meant_passes_where_that_is_asked() -> None:
    """For whoever tells the user."""
    met: list[Exception] = []
    with pytest.raises(PreflightError), noting(met.append, on_purpose=True):
        _raise(PURPOSE)
    with noting(met.append):
        _raise(PURPOSE)
    assert met == [PURPOSE]
