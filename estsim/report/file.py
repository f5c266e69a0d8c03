"""The report of a run as a file in its folder. What it is made of, charts among it, is imported when it is made."""

from pathlib import Path
from typing import Final

from estsim.errors import UsageError

PAGE: Final = "report.html"


def write_report(run: Path) -> Path:
    """Write the page beside the store: whole, or not at all. Raises UsageError and StoreError."""
    from estsim.report.figures import read_run  # noqa: PLC0415 - what no other command needs is imported late
    from estsim.report.page import page  # noqa: PLC0415

    target, draft = run / PAGE, run / f".{PAGE}.part"
    text = page(read_run(run))
    try:
        draft.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    return target
