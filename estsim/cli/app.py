"""The ``estsim`` command: its verbs, each imported only when it is the one that was asked for."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from textwrap import fill
from typing import Annotated, Final

import typer

from estsim import __version__
from estsim.cli.complaints import tell_lost_output
from estsim.cli.streams import make_streams_last

_INTERRUPTED: Final = 130
_KEEP_NO_SECRETS: Final = ("report", "export", "device", "schema", "recipe")  # they read nothing that has a password
_USAGE: Final = 2
_WIDTH: Final = 76
_ASKS: Final = frozenset({"-h", "--help", "--version"})  # for words, and for nothing else
_OF_THE_LIBRARY: Final = ("run", "new")  # their help names the scenarios that come with estsim
# verb: (module and function of that name, what --help says)
_VERBS: Final = {
    "run": ("estsim.cli.run", "Run a scenario against an EST server or a local sandbox."),
    "serve": ("estsim.cli.serve", "Run the sandbox: an EST server with its own CA."),
    "validate": ("estsim.cli.validate", "Check scenarios and report every error."),
    "schema": ("estsim.cli.schema", "Print the JSON Schema of scenario files, for editors."),
    "new": ("estsim.cli.new", "Create a scenario from the library."),
    "pending": ("estsim.cli.pending", "List, approve or reject requests that wait for approval in a sandbox."),
    "export": ("estsim.cli.export", "Export the records of a run as CSV, JSON Lines or HdrHistogram percentiles."),
    "report": ("estsim.cli.report", "Create a self-contained HTML report of a run."),
    "device": ("estsim.cli.device", "Show the timeline of one device: exchanges, waits, certificates."),
    "worker": ("estsim.cli.worker", "Run a Locust worker that simulates a share of the fleet."),
    "recipe": ("estsim.cli.recipe", "Print a shell script that enrolls with curl or libest."),
}


def main() -> None:
    """Run the command line."""
    make_streams_last()
    _require_working_directory()
    wanted = next((word for word in _words() if not word.startswith("-")), None)
    code: int | str | None = 0
    is_early = False
    try:
        _app(wanted)()
    except KeyboardInterrupt:  # before the verb could take it
        code, is_early = _INTERRUPTED, True
    except SystemExit as end:
        code = end.code
    except Exception as bug:  # noqa: BLE001 - no user has any use for a traceback on the terminal
        code = _told(bug, wanted)
    sys.stdout.flush()
    is_lost = tell_lost_output()
    sys.stderr.flush()
    if (
        is_early
    ):  # the interpreter would end itself by SIGINT where the first to meet it was an extension that runs code
        os._exit(_INTERRUPTED)
    sys.exit(_USAGE if is_lost and not code and not _ASKS.isdisjoint(sys.argv) else code)


def _told(bug: Exception, wanted: str | None) -> int:
    """Tell of a bug of ours, or of a machine that has run out of something; returns the exit code."""
    try:
        from estsim.cli.internal_error import tell  # noqa: PLC0415 - what is seldom needed is imported late

        return tell(bug, frozenset() if wanted in _KEEP_NO_SECRETS else None)
    except (ImportError, MemoryError):
        sys.stderr.write(f"estsim: not enough memory to start ({type(bug).__name__})\n")
        return _USAGE


def _words() -> list[str]:
    """Return what was written behind ``estsim``; a shell that completes a line has it in its environment."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    return line.split()[1:] if "_ESTSIM_COMPLETE" in os.environ else sys.argv[1:]


def _require_working_directory() -> None:
    """End here where the working directory has been deleted: no relative path means anything in it."""
    try:
        os.getcwd()  # noqa: PTH109 - the question is the system's
    except OSError as error:
        sys.stderr.write(f"estsim: the working directory cannot be used: {error.strerror}\n")
        sys.stderr.flush()
        sys.exit(_USAGE)


def _app(wanted: str | None) -> typer.Typer:
    """Put the command together; only the verb that is wanted is loaded, the others are known by name."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_help(_estsim))(_estsim)
    for verb, (module, summary) in _VERBS.items():
        function = getattr(import_module(module), verb) if verb == wanted else _unloaded
        epilog = _included() if verb == wanted and verb in _OF_THE_LIBRARY else None
        app.command(verb, short_help=summary, help=_help(function), epilog=epilog)(function)
    return app


def _included() -> str | None:
    """Return the names of the scenarios that come with estsim, where help is asked for."""
    if _ASKS.isdisjoint(sys.argv):
        return None
    from estsim.scenario.library import library  # noqa: PLC0415 - what is seldom needed is imported late

    lines = fill(f"{', '.join(library())}", _WIDTH, break_on_hyphens=False)
    return f"\b\nIncluded scenarios:\n{lines}"


def _help(function: Callable[..., None]) -> str:
    r"""Return a docstring as help; ``\b`` keeps the lines that follow it as they are."""
    return (getdoc(function) or "").replace("\\b\n", "\b\n")


def _unloaded() -> None:
    """Stand for a verb that was not asked for."""


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"estsim {__version__}")
        raise typer.Exit


def _estsim(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda value: _version(asked=value), is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    r"""Simulate fleets of devices that enroll over EST (RFC 7030), and measure the server.

    \b
    Examples:
      estsim run quickstart                     simulate 500 devices against a local sandbox
      estsim new my-fleet.yaml                  create a scenario
      estsim validate my-fleet.yaml             report every error with file, line and column
      estsim serve --port 8443                  run an EST server for tests
      estsim pending list estsim-sandbox        list requests that wait for approval
      estsim export results/RUN --format csv    export every exchange of a run
      estsim report results/quickstart-*        create an HTML report of each run
      estsim device results/RUN meter-000017    show the timeline of one device
      estsim worker fleet.yaml --master HOST    simulate a share of the fleet for a Locust master
      estsim recipe curl URL                    print a shell script that enrolls with curl
    """
