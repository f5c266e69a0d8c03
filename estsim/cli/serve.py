"""``estsim serve``: its options. :mod:`estsim.cli.serving` does the work, and is not loaded for help."""

from pathlib import Path
from typing import Annotated, Final

import typer

from estsim.cli.options import number

_DEFAULT_PORT: Final = 8443


def serve(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="Sandbox configuration (YAML); defaults apply without it.")
    ] = None,
    port: Annotated[
        int, typer.Option(parser=number(0, 65535), metavar="N", help="TCP port; 0 picks a free port.")
    ] = _DEFAULT_PORT,
    directory: Annotated[Path, typer.Option("--dir", help="Folder for keys, certificates and records.")] = Path(
        "estsim-sandbox"
    ),
    host: Annotated[str, typer.Option(help="Listen address; included in the server certificate.")] = "127.0.0.1",
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="Additional host name or address for the server certificate."),
    ] = None,
    *,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Stop at the end of stdin; print only errors.")
    ] = False,
    ephemeral: Annotated[
        bool,
        typer.Option("--ephemeral", hidden=True, help="Delete CONFIG after reading it, and the PKI on exit."),
    ] = False,
) -> None:
    r"""Run the sandbox: an EST server (RFC 7030) with its own CA, for testing clients and scenarios.

    On first use it creates its PKI in the folder. It stores issued certificates and deferred requests there, and logs
    every exchange.

    \b
    Examples:
      estsim serve                                 listen on port 8443, create the PKI in ./estsim-sandbox
      estsim serve --port 0 --dir my-sandbox       listen on a free port, see my-sandbox/sandbox.json
      estsim serve sandbox.yaml --host 0.0.0.0     use a configuration, accept other machines
      estsim serve --host 0.0.0.0 --name est.test  add a host name to the server certificate
    """
    from estsim.cli.serving import serve_as_asked  # noqa: PLC0415 - what --help has no need of

    serve_as_asked(config, port, directory, host, names, with_parent=with_parent, ephemeral=ephemeral)
