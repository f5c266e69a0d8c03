"""errors.log of a run: written when there is something to write, whole, and its owner's alone."""

from pathlib import Path

from estsim.fleet.error_log import ErrorLog
from estsim.record.internal_errors import InternalErrors


def test_there_is_none_where_nothing_was_met(tmp_path: Path) -> None:
    """Nothing to write, nothing to tell."""
    log = ErrorLog(tmp_path, InternalErrors(frozenset()))
    log.save()
    assert log.told() is None
    assert [*tmp_path.iterdir()] == []


def test_it_is_written_anew_as_errors_come(tmp_path: Path) -> None:
    """And not when none has come since; nothing is left beside it."""
    log = ErrorLog(tmp_path, InternalErrors(frozenset()))
    for number in range(1, 4):
        log.errors.note(KeyError("a bug"), at_ns=0, device=number)
        log.save()
        assert f"{number} internal error" in log.path.read_text(encoding="ascii")
        assert log.text() is None
    assert [path.name for path in tmp_path.iterdir()] == ["errors.log"]
    assert log.path.stat().st_mode & 0o777 == 0o600
    told = log.told()
    assert told is not None
    assert told.startswith("internal error of estsim: KeyError at an unknown location and 2 more; 3 devices stopped")
    assert f"tracebacks: {log.path}" in told


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """There is no traceback then, and no second error."""
    log = ErrorLog(tmp_path / "gone", InternalErrors(frozenset()))
    log.errors.note(KeyError("a bug"), at_ns=0)
    log.save()
    assert "no traceback: " in (log.told() or "")
    assert "cannot be written" in (log.told() or "")
    (tmp_path / "gone").mkdir()
    log.errors.note(KeyError("a bug"), at_ns=0)
    log.save()
    assert "tracebacks: " in (log.told() or "")
