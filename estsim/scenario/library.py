"""The scenarios included with estsim, by name: next to the package in a checkout, inside it in a wheel."""

import os
from itertools import islice
from pathlib import Path
from typing import Final

from estsim.errors import Mistake, ScenarioError
from estsim.nearness import suggestion
from estsim.units import shown

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_SUFFIX: Final = ".yaml"
_MOST_LOOKED_AT: Final = 1000  # names in a folder


def library() -> dict[str, Path]:
    """Return the files by name, sorted."""
    return {path.stem: path for path in sorted(_folder().glob(f"*{_SUFFIX}"))}


def is_included(path: Path) -> bool:
    """Say whether a scenario's file is one of the library."""
    return path.absolute().parent.resolve() == _folder()


def _folder() -> Path:
    places = (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios")
    return next((place for place in places if (place / f"quickstart{_SUFFIX}").is_file()), places[0])


def question(path: Path) -> str:
    """Return the question that a scenario of the library answers: its first line."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def found(path: Path) -> Path:
    """Return a scenario's file, by path or by its name in the library.

    Raises ScenarioError with the nearest name where there is neither.
    """
    is_name = path.parent == Path() and not path.suffix
    known = library() if is_name and not os.path.isfile(path) else {}  # noqa: PTH113 - pathlib raises for some names
    if path.name in known:
        return known[path.name]
    if os.path.isdir(path):  # noqa: PTH112 - as above
        raise ScenarioError([Mistake(1, 1, "", f"is a directory, not a file{_within(path)}", path)])
    if not known:
        return path
    names = ", ".join(known)
    message = f"no such file, and no library scenario '{shown(path.name)}'"
    raise ScenarioError([Mistake(1, 1, "", f"{message}{suggestion(path.name, known)}; available: {names}", path)])


def _within(folder: Path) -> str:
    """Return which file of a folder was probably meant."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry in islice(listing, _MOST_LOOKED_AT)]
    except OSError:
        return ""
    files = sorted(name for name in names if name.endswith((_SUFFIX, ".yml")))
    meant = "scenario.yaml" if "scenario.yaml" in files else files[0] if files else None
    return "" if meant is None else f": write the path of the scenario, such as {folder / shown(meant)}"
