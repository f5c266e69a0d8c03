"""``estsim new``: creates a scenario from a copy."""

import re
import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from estsim.cli.complaints import remarks, say, tell
from estsim.errors import ScenarioError, UnreadableFile
from estsim.figures.exits import Exit
from estsim.scenario.document import MOST_BYTES
from estsim.scenario.library import found, library, question
from estsim.scenario.loader import name_of
from estsim.user_files import read_user_file

_MODELINE = "# yaml-language-server: $schema="
_SCHEMA = "estsim.schema.json\n"
_START = Path("quickstart")
_NAME: Final = re.compile(r"^(name:[ \t]+)[A-Za-z0-9._-]+(?=[ \t]*(?:#|$))", re.MULTILINE)


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to create.", show_default=False)],
    from_: Annotated[
        Path, typer.Option("--from", metavar="NAME", help="Scenario to copy: a library name or a file.")
    ] = _START,
) -> None:
    r"""Create a scenario by copying one from the library, with its comments, under the name of its file.

    An existing file is not overwritten. The copy refers editors to estsim.schema.json, which
    "estsim schema > estsim.schema.json" creates.

    \b
    Examples:
      estsim new fleet.yaml
      estsim new storm.yaml --from renewal-storm
    """
    try:
        source = found(from_)
        text = _renamed(_text_of(source), source, file)
        with file.open("x", encoding="utf-8") as target:
            target.write(text if _MODELINE in text else f"{_MODELINE}{_SCHEMA}{text}")
    except ScenarioError as error:
        tell(str(error))
        for name, path in library().items():
            tell(f"  {name:<22} {question(path)}")
        raise typer.Exit(Exit.USAGE) from error
    except FileExistsError as error:
        tell(f"{file}: already exists")
        raise typer.Exit(Exit.USAGE) from error
    except OSError as error:
        tell(f"{file}: cannot be written: {error.strerror}")
        raise typer.Exit(Exit.USAGE) from error
    with remarks():
        say(f"created {file}; run it with: estsim run {shlex.quote(str(file))}")


def _renamed(text: str, source: Path, file: Path) -> str:
    """Return a scenario with the name of its new file, also in the commands of its comments."""
    own = re.compile(rf"estsim run (?:{re.escape(source.name)}|{re.escape(source.stem)})(?![\w.-])")
    command = f"estsim run {shlex.quote(str(file))}"
    lines = [own.sub(lambda _: command, line) if line.startswith("#") else line for line in text.split("\n")]
    return _NAME.sub(rf"\g<1>{name_of(file)}", "\n".join(lines), count=1)


def _text_of(source: Path) -> str:
    """Return the text of a scenario; exits where it cannot be read."""
    try:
        return read_user_file(source, most_bytes=MOST_BYTES).decode()
    except UnreadableFile as error:
        tell(str(error))
        raise typer.Exit(Exit.USAGE) from error
    except UnicodeDecodeError as error:
        tell(f"{source}: is not UTF-8 text")
        raise typer.Exit(Exit.USAGE) from error
