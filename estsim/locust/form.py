"""What a test is asked to play by the form of Locust's web UI, or by a master: by anybody, so within what is ours.

What this process was started with (:mod:`estsim.locust.start_options`) may name any file and any host. A form may name
the scenarios that come with estsim and files below the working directory, and no host that nobody has named before.
"""

from pathlib import Path
from typing import Final

from estsim.errors import UnitError, UsageError
from estsim.fleet.permission import is_loopback
from estsim.locust.start_options import StartOptions
from estsim.scenario.library import found, library
from estsim.scenario.target_url import parse_url
from estsim.units import shown

_EXPECTED: Final = "expected a file below the working directory or the name of a library scenario"


class FormRefused(UsageError):  # noqa: N818 - reads as the event it is
    """What a form names and may not; the text quotes nothing but the form, escaped."""


def scenario_file(name: str, start: StartOptions) -> Path:
    """Return the file of a scenario that was named. Raises FormRefused, and ScenarioError for one of the start's."""
    if name in start.scenarios:
        return found(Path(name))
    if name in library():
        return library()[name]
    try:
        is_below, is_file = _is_below(name, Path.cwd()), Path(name).is_file()
    except (OSError, ValueError, RuntimeError):  # no name of a file: a NUL, too long, a loop of links
        is_below = is_file = False
    if not is_below:
        raise FormRefused(f"scenario: {_EXPECTED} (got {shown(name)})")
    if not is_file:
        raise FormRefused(f"scenario: no such file, and no library scenario '{shown(name)}'")
    return Path(name)


def _is_below(name: str, folder: Path) -> bool:
    """Say whether a path is one below a folder, wherever links lead."""
    path = Path(name)
    return ".." not in path.parts and (folder / path).resolve().is_relative_to(folder.resolve())


def check_host(host: str, start: StartOptions) -> None:
    """Refuse a host that this process was not started for. Raises FormRefused."""
    if host in ("", start.host):
        return
    try:
        name = parse_url(host).host
    except UnitError as error:
        raise FormRefused(f"host: {error}") from error
    if not is_loopback(name) and name not in (start.i_may_test, _host_of(start.host)):
        raise FormRefused(
            f"host: this process may not test {shown(name)}: restart it with --host {shown(host)} or --i-may-test "
            f"{shown(name)}"
        )


def _host_of(url: str) -> str | None:
    try:
        return parse_url(url).host if url else None
    except UnitError:
        return None
