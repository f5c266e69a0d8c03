"""``estsim new``: a scenario to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from estsim.cli.complaints import output
from estsim.errors import ScenarioError
from estsim.measure.exits import Exit
from estsim.scenario.library import found, library, question

_MODELINE = "# yaml-language-server: $schema="
_SCHEMA = "estsim.schema.json\n"
_START = Path("quickstart")


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The scenario to write.", show_default=False)],
    from_: Annotated[
        Path, typer.Option("--from", metavar="NAME", help="The scenario to begin with, by name or file.")
    ] = _START,
) -> None:
    r"""Write a scenario to begin with: a copy of one that comes with estsim, comments and all.

    Nothing is overwritten. A comment in it names the schema for editors: estsim schema > estsim.schema.json

    \b
    Examples:
      estsim new fleet.yaml
      estsim new storm.yaml --from renewal-storm
    """
    try:
        text = _text_of(found(from_))
        with file.open("x", encoding="utf-8") as target:
            target.write(text if _MODELINE in text else f"{_MODELINE}{_SCHEMA}{text}")
    except ScenarioError as error:
        typer.echo(str(error), err=True)
        for name, path in library().items():
            typer.echo(f"  {name:<22} {question(path)}", err=True)
        raise typer.Exit(Exit.USAGE) from error
    except FileExistsError as error:
        typer.echo(f"{file}: is there already, and nothing is overwritten", err=True)
        raise typer.Exit(Exit.USAGE) from error
    except OSError as error:
        typer.echo(f"{file}: cannot be written: {error.strerror}", err=True)
        raise typer.Exit(Exit.USAGE) from error
    with output():
        typer.echo(f"{file}: try it with estsim run {file}")


def _text_of(source: Path) -> str:
    """Return the scenario to begin with, or say that it cannot be read and exit."""
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        typer.echo(f"{source}: cannot be read: {reason}", err=True)
        raise typer.Exit(Exit.USAGE) from error
