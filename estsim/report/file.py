"""The report of a run as a file in its folder; page and charts are imported when it is written."""

from pathlib import Path
from typing import Final

from estsim.errors import UsageError

PAGE: Final = "report.html"


def write_report(run: Path) -> Path:
    """Write the page into the run's folder, whole or not at all. Raises UsageError and StoreError."""
    from estsim.report.page import page  # noqa: PLC0415
    from estsim.report.run_report import read_run  # noqa: PLC0415 - only this needs plotly

    target, draft = run / PAGE, run / f".{PAGE}.part"
    text = page(read_run(run))
    try:
        draft.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    return target
