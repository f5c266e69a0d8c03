"""The ``estsim`` command: its verbs, each imported only when it is the one that was asked for."""

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import getdoc
from typing import Annotated, Final

import typer

from estsim import __version__

_INTERRUPTED: Final = 130
# verb: (module and function of that name, what --help says)
_VERBS: Final = {
    "run": ("estsim.cli.run", "Run a scenario against an EST server, or against the sandbox."),
    "serve": ("estsim.cli.serve", "Run the sandbox: an EST server with a CA of its own."),
    "validate": ("estsim.cli.validate", "Check scenarios and say every mistake."),
    "schema": ("estsim.cli.schema", "Print the scenario language as JSON Schema, for editors."),
    "new": ("estsim.cli.new", "Write a scenario to begin with."),
    "pending": ("estsim.cli.pending", "List, approve or reject what a sandbox holds for approval."),
    "export": ("estsim.cli.export", "Write what a run recorded as CSV, JSON lines or HdrHistogram percentiles."),
    "report": ("estsim.cli.report", "Make a page of a run, with its charts, to be read anywhere."),
    "device": ("estsim.cli.device", "Tell one device's story: exchanges, waits, certificates."),
    "worker": ("estsim.cli.worker", "Play a part of a fleet for a Locust master, over many machines."),
    "recipe": ("estsim.cli.recipe", "Print a shell script that enrolls by hand."),
}


def main() -> None:
    """Run the command line."""
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        _app(wanted)()
    except KeyboardInterrupt:  # before the verb could take it
        sys.exit(_INTERRUPTED)


def _app(wanted: str | None) -> typer.Typer:
    """Put the command together; only the verb that is wanted is loaded, the others are known by name."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_help(_estsim))(_estsim)
    for verb, (module, summary) in _VERBS.items():
        function = getattr(import_module(module), verb) if verb == wanted else _unloaded
        app.command(verb, short_help=summary, help=_help(function))(function)
    return app


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
    r"""Simulate fleets of devices that enroll for certificates over EST (RFC 7030), and measure the server.

    \b
    Examples:
      estsim run scenarios/quickstart.yaml      500 devices against a sandbox started for the run
      estsim validate my-fleet.yaml             every mistake with file, line and column
      estsim new my-fleet.yaml                  a scenario to begin with
      estsim serve --port 8443                  an EST server to try things against
      estsim pending list estsim-sandbox        the requests that wait there for a person's approval
      estsim export results/RUN --format csv    every exchange of a run, for other programs
      estsim report results/quickstart-*        a page with the figures and charts of each run
      estsim device results/RUN meter-000017    what one device did, waited for and got
      estsim worker fleet.yaml --master HOST    a part of a fleet that a Locust master leads
      estsim recipe curl URL                    a shell script that enrolls there by hand
    """
