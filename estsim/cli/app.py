"""The ``estsim`` command: its verbs, each imported only when it is called."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from textwrap import fill
from typing import Annotated, Final

import typer

from estsim import __version__
from estsim.cli.complaints import USAGE, tell_lost_output
from estsim.cli.streams import make_streams_last

_INTERRUPTED: Final = 130
_WITHOUT_SECRETS: Final = ("report", "export", "device", "schema", "recipe")  # they read no passwords
_WIDTH: Final = 76
_ASKS: Final = frozenset({"-h", "--help", "--version"})  # they only print
_OF_THE_LIBRARY: Final = ("run", "new")  # their help lists the included scenarios
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
    try:
        _app(wanted)()
    except KeyboardInterrupt:  # before the verb handles it
        code = _INTERRUPTED
    except SystemExit as end:
        code = end.code
    except Exception as bug:  # noqa: BLE001 - a traceback on the terminal does not help users
        code = _report(bug, wanted)
    sys.stdout.flush()
    is_lost = tell_lost_output()
    sys.stderr.flush()
    if code == _INTERRUPTED:  # where SIGINT hit an extension that runs code, Python would kill itself by SIGINT
        os._exit(_INTERRUPTED)
    sys.exit(USAGE if is_lost and not code and not _ASKS.isdisjoint(sys.argv) else code)


def _report(bug: Exception, wanted: str | None) -> int:
    """Report an internal error, or a machine that ran out of a resource; returns the exit code."""
    try:
        from estsim.cli.internal_error import tell_bug  # noqa: PLC0415 - rarely needed

        return tell_bug(bug, frozenset() if wanted in _WITHOUT_SECRETS else None)
    except (ImportError, MemoryError):
        sys.stderr.write(f"estsim: not enough memory to start ({type(bug).__name__})\n")
        return USAGE


def _words() -> list[str]:
    """Return the words after ``estsim``; for shell completion they are in the environment."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    return line.split()[1:] if "_ESTSIM_COMPLETE" in os.environ else sys.argv[1:]


def _require_working_directory() -> None:
    """Exit if the working directory has been deleted, as relative paths would mean nothing."""
    try:
        os.getcwd()  # noqa: PTH109 - the question is the system's
    except OSError as error:
        sys.stderr.write(f"estsim: the working directory cannot be used: {error.strerror}\n")
        sys.stderr.flush()
        sys.exit(USAGE)


def _app(wanted: str | None) -> typer.Typer:
    """Return the command; only the wanted verb is loaded, the others are known by name."""
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
    """Return the names of the included scenarios, if help is asked for."""
    if _ASKS.isdisjoint(sys.argv):
        return None
    from estsim.scenario.library import library  # noqa: PLC0415 - rarely needed

    lines = fill(f"{', '.join(library())}", _WIDTH, break_on_hyphens=False)
    return f"\b\nIncluded scenarios:\n{lines}"


def _help(function: Callable[..., None]) -> str:
    r"""Return a docstring as help; ``\b`` keeps the lines that follow it as they are."""
    return (getdoc(function) or "").replace("\\b\n", "\b\n")


def _unloaded() -> None:
    """Stand for a verb that was not called."""


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
