"""``estsim schema``: the scenario language for editors."""

import json
import sys
from typing import Annotated

import typer

from estsim.cli.complaints import output
from estsim.scenario.schema import sandbox_schema, scenario_schema


def schema(
    *,
    server: Annotated[
        bool, typer.Option("--server", help="Print the schema of sandbox configurations, for estsim serve.")
    ] = False,
) -> None:
    r"""Print the JSON Schema of scenario files: description, unit and example of each key.

    Editors with YAML schema support (VS Code with the YAML extension, Neovim, JetBrains) complete keys and mark errors
    as you type. Name the schema in a comment of the scenario:

    \b
      # yaml-language-server: $schema=estsim.schema.json

    \b
    Examples:
      estsim schema > estsim.schema.json
      estsim schema --server > estsim-server.schema.json
    """
    with output():
        in_utf_8 = sys.stdout.encoding.lower().startswith("utf")  # as JSON is, RFC 8259 §8.1; else all in ASCII
        text = json.dumps(sandbox_schema() if server else scenario_schema(), indent=2, ensure_ascii=not in_utf_8)
        sys.stdout.write(f"{text}\n")
