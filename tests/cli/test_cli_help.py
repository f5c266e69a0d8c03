"""Help is quick, and shows how it is done."""

import subprocess
import sys
from functools import partial

from cli_runs import at_once, estsim

HEAVY = {"trio", "httpx", "cryptography", "OpenSSL", "pydantic", "ruamel", "hdrh", "locust", "gevent", "plotly"}


def test_help_loads_nothing_that_it_does_not_need() -> None:
    """``estsim --help`` imports no room but the command line's, and none of the heavy dependencies."""
    code = (
        "import sys\nfrom estsim.cli.app import main\nsys.argv = ['estsim', '--help']\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    loaded = done.stderr.split()
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert {name for name in loaded if name.startswith("estsim")} == {"estsim", "estsim.cli", "estsim.cli.app"}


def test_help_has_examples() -> None:
    """Every verb shows commands to copy."""
    pages = at_once({verb: partial(estsim, *verb.split(), "--help") for verb in ("", "run", "serve", "validate")})
    for verb, done in pages.items():
        assert (done.code, done.err) == (0, "")
        _, heading, examples = done.out.partition("Examples:\n")
        assert heading, done.out
        assert examples.splitlines()[0].strip().startswith(f"estsim {verb}".strip())


def test_nothing_at_all_is_answered_with_help() -> None:
    """``estsim`` alone lists the verbs; a verb that is none is told."""
    assert {"run", "serve", "validate"} <= set((alone := estsim()).out.split()) | set(alone.err.split())
    wrong = estsim("rnu")
    assert wrong.code == 2
    assert "rnu" in wrong.err
