"""Help is quick, and shows how it is done."""

import os
import subprocess
import sys
from functools import partial

import pytest
from cli_runs import at_once, estsim

from estsim.scenario.library import library

HEAVY = {"trio", "httpx", "cryptography", "OpenSSL", "pydantic", "ruamel", "hdrh", "locust", "gevent", "plotly"}


OF_HELP = (
    "import resource, sys\nfrom estsim.cli.app import main\nsys.argv = ['estsim', *sys.argv[1:], '--help']\n"
    "try:\n    main()\nfinally:\n"
    "    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, *sys.modules, file=sys.stderr)"
)


def helped(*words: str) -> tuple[float, list[str]]:
    """Return the seconds of CPU that help takes, and the modules that it loads."""
    done = subprocess.run([sys.executable, "-c", OF_HELP, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    used_s, *loaded = done.stderr.split()
    return float(used_s), loaded


def test_help_loads_nothing_that_it_does_not_need() -> None:
    """``estsim --help`` imports no room but the command line's, and none of the heavy dependencies."""
    _, loaded = helped()
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    light = {"estsim", "estsim.errors", "estsim.unit_advice", "estsim.units"}
    assert {name for name in loaded if name.startswith("estsim") and not name.startswith("estsim.cli")} == light


@pytest.mark.parametrize("verb", ["run", "serve", "validate", "worker", "device"])
def test_help_on_a_verb_answers_within_half_a_second(verb: str) -> None:
    """It has the verb's options and loads nothing of what the verb does."""
    used_s, loaded = helped(verb)
    assert {name.split(".")[0] for name in loaded} & HEAVY <= {"pydantic"}, "which typer imports by itself"
    assert used_s < 0.5


@pytest.mark.parametrize(
    ("line", "offered"),
    [("estsim ", {"run", "serve"}), ("estsim run --dev", {"--devices"}), ("estsim worker --mas", {"--master"})],
)
def test_a_shell_completes_verbs_and_their_options(line: str, offered: set[str]) -> None:
    """As the script that ``--install-completion`` leaves asks for it."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_ESTSIM_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['estsim']; from estsim.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **words}
    )
    assert offered <= set(done.stdout.split())


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


@pytest.mark.parametrize("verb", ["run", "new"])
def test_help_names_the_scenarios_that_come_with_estsim(verb: str) -> None:
    """Whole names, to copy."""
    _, _, names = estsim(verb, "--help").out.partition("Included scenarios:\n")
    assert [name.strip() for name in names.split(",")] == [*library()]
