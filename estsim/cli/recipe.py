"""``estsim recipe``: a shell script that enrolls by hand, to be saved, read and run.

The scripts are in ``recipes/``, with a placeholder for each part of the URL, which is filled in quoted for the shell.
"""

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Annotated, Final

import typer

from estsim.cli.complaints import output, usage_errors
from estsim.cli.options import choice, words_of
from estsim.errors import UnitError
from estsim.est.operations import WELL_KNOWN
from estsim.scenario.target_url import TargetUrl, parse_url

_PLACEHOLDER: Final = re.compile("@([A-Z]+)@")


class Kind(StrEnum):
    """The client that the script calls."""

    CURL = "curl"  # with openssl
    LIBEST = "libest"  # Cisco's estclient


def recipe(
    kind: Annotated[
        Kind,
        typer.Argument(
            parser=choice(Kind),
            autocompletion=words_of(Kind),
            metavar="curl|libest",
            help="Client that the script runs: curl, or libest's estclient.",
        ),
    ],
    url: Annotated[str, typer.Argument(metavar="URL", help="URL of the EST server, with or without a label.")],
) -> None:
    r"""Print a shell script that enrolls with curl or libest; comments explain each step of EST.

    The script fetches the CA certificates, enrolls, waits out deferrals, verifies the certificate and re-enrolls with
    it. Run it in an empty folder; its arguments are the trust anchors and a bootstrap certificate.

    \b
    Examples:
      estsim recipe curl https://localhost:8443/.well-known/est > enroll.sh
      sh enroll.sh estsim-sandbox/trust.pem estsim-sandbox/bootstrap.pem
      estsim recipe libest https://localhost:8443/.well-known/est/meters
    """
    with usage_errors("URL: "):
        script = script_for(kind, parse_url(url))
    with output():
        typer.echo(script, nl=False)


def script_for(kind: Kind, target: TargetUrl) -> str:
    """Return the script for a server; raises UnitError where the client does not support its URL."""
    parts = {"URL": str(target)} if kind is Kind.CURL else _parts_for_libest(target)
    return _filled_in(files("estsim.cli").joinpath("recipes", f"{kind}.sh").read_text(encoding="utf-8"), parts)


def _parts_for_libest(target: TargetUrl) -> Mapping[str, str]:
    """Return the parts of a URL as estclient takes them; it adds the path up to the label itself."""
    if target.base != WELL_KNOWN:
        raise UnitError(f"libest supports no path prefix before {WELL_KNOWN} (got {target.base})")
    return {"SERVER": target.host, "PORT": str(target.port), "LABEL": target.label or ""}


def _filled_in(template: str, parts: Mapping[str, str]) -> str:
    """Replace each placeholder, quoted as one word of the shell."""
    return _PLACEHOLDER.sub(lambda found: shlex.quote(parts[found[1]]), template)
