"""The scenarios that come with estsim, by name: beside the package in a checkout, within it in a wheel."""

from pathlib import Path
from typing import Final

from estsim.errors import Mistake, ScenarioError
from estsim.scenario.mistakes import suggestion
from estsim.units import shown

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_SUFFIX: Final = ".yaml"


def library() -> dict[str, Path]:
    """Return the files by name, sorted."""
    places = (_PACKAGE / "scenarios", _PACKAGE.parent / "scenarios")
    folder = next((place for place in places if (place / f"quickstart{_SUFFIX}").is_file()), places[0])
    return {path.stem: path for path in sorted(folder.glob(f"*{_SUFFIX}"))}


def question(path: Path) -> str:
    """Return the question that a scenario of the library answers: its first line."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def found(path: Path) -> Path:
    """Return a scenario's file: the one of that path, or the one of that name in the library.

    Raises ScenarioError with the nearest name where there is neither.
    """
    if path.is_file() or path.parent != Path() or path.suffix:
        return path
    known = library()
    if path.name in known:
        return known[path.name]
    names = ", ".join(known)
    message = f"there is no such file, and no scenario '{shown(path.name)}' comes with estsim"
    raise ScenarioError([Mistake(1, 1, "", f"{message}{suggestion(path.name, known)}; there are {names}", path)])
