"""``estsim schema``: the scenario language for editors."""

import json
from typing import Annotated

import typer

from estsim.cli.complaints import output
from estsim.scenario.schema import sandbox_schema, scenario_schema


def schema(
    *,
    server: Annotated[bool, typer.Option("--server", help="Of a sandbox's configuration, for estsim serve.")] = False,
) -> None:
    r"""Print the JSON Schema of scenarios: what each key means, with units and examples.

    An editor that speaks YAML with schemas (VS Code with the YAML extension, Neovim, JetBrains) completes keys and
    marks mistakes as you type, where a comment of the file names the schema:

    \b
      # yaml-language-server: $schema=estsim.schema.json

    \b
    Examples:
      estsim schema > estsim.schema.json
      estsim schema --server > estsim-server.schema.json
    """
    with output():
        typer.echo(json.dumps(sandbox_schema() if server else scenario_schema(), indent=2, ensure_ascii=False))
