"""``estsim recipe``: scripts that a shell can read, for servers that there can be, with nothing in them but the script.

That the script for curl enrolls is shown with the other peers, in ``tests/interop``. The one for libest runs here, with
a stand-in for the ``estclient`` that this project has no package of.
"""

import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from cli_runs import COMMAND, DEADLINE_S, Done, at_once, estsim

from estsim.cli.recipe import Kind, script_for
from estsim.scenario.target_url import TargetUrl

URL = "https://est.example.com:8443/.well-known/est"
HOSTILE = "x'; touch pwned; $(touch pwned) `touch pwned` \" \\"
REFUSED = {
    "http://est.example.com": "https://",
    "est.example.com": "https://",
    "https://": "host name",
    "https://est.example.com:99999": "Port out of range",
    f"{URL}/simpleenroll": "remove the operation",
    "https://user:secret@est.example.com": "must not contain a user or password",
    f"{URL}/$(touch pwned)": "no spaces",
    f"{URL}/`id`": "path",
    f"{URL}?$(id)": "path",
    "https://$(id)/.well-known/est": "host name",
    f"{URL}\nid": "no spaces",
    "": "expected a URL",
}


@pytest.fixture(scope="module")
def printed() -> dict[str, Done]:
    """What the command prints, by what it was asked for."""
    commands = {
        "curl": ["curl", URL],
        "libest": ["libest", URL],
        "curl with label": ["curl", f"{URL}/meters"],
        "libest with label": ["libest", f"{URL}/meters"],
        "libest below a path": ["libest", "https://est.example.com/pki/.well-known/est"],
        "wget": ["wget", URL],
        "nothing": [],
        "help": ["--help"],
    }
    return at_once({name: partial(estsim, "recipe", *words) for name, words in commands.items()})


def shell_sees(script: str, name: str) -> str:
    """Return what a shell makes of a script's assignment to a variable."""
    (line,) = re.findall(rf"^{name}=.*$", script, re.MULTILINE)
    words = ["sh", "-c", f'{line}\nprintf %s "${name}"']
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("kind", ["curl", "libest"])
@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_a_shell_can_read_the_script(printed: dict[str, Done], kind: str, shell: str) -> None:
    """The script and nothing else is printed, with no place left unfilled, and ``sh -n`` has nothing to say."""
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}, which comes with Debian's {shell}")
    done = printed[kind]
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("#!/bin/sh\n")
    assert done.out.endswith("\n")
    assert re.findall(r"@[A-Z]+@", done.out) == []
    checked = subprocess.run([shell, "-n"], input=done.out, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_script_asks_the_server_of_the_url(printed: dict[str, Done]) -> None:
    """The whole URL for curl; host, port and label one by one for libest."""
    assert shell_sees(printed["curl"].out, "url") == URL
    assert shell_sees(printed["curl with label"].out, "url") == f"{URL}/meters"
    for name, label in {"libest": "", "libest with label": "meters"}.items():
        script = printed[name].out
        seen = tuple(shell_sees(script, part) for part in ("server", "port", "label"))
        assert seen == ("est.example.com", "8443", label)


def test_libest_is_told_how_to_have_the_sandbox_answer(printed: dict[str, Done]) -> None:
    """The first words are the line of YAML and the command without which libest reads nothing."""
    opening = printed["libest"].out.partition("\nset -eu\n")[0]
    assert "\n#   base64: wrapped\n" in opening
    assert "\n#   estsim serve sandbox.yaml --port 8443\n" in opening


def test_libest_cannot_ask_below_a_path(printed: dict[str, Done]) -> None:
    """It knows the path itself; a URL with another one is refused, not cut short."""
    done = printed["libest below a path"]
    assert (done.code, done.out) == (2, "")
    assert done.err == "URL: libest supports no path prefix before /.well-known/est (got /pki/.well-known/est)\n"


def test_another_kind_is_refused(printed: dict[str, Done]) -> None:
    """The message has what was given and what there is; no kind at all is a mistake too."""
    done = printed["wget"]
    assert (done.code, done.out) == (2, "")
    assert done.mistakes[-1].endswith("must be curl or libest (got wget)")
    assert printed["nothing"].code == 2


def test_help_has_examples(printed: dict[str, Done]) -> None:
    """The first is the command that begins it."""
    examples = printed["help"].out.partition("Examples:\n")[2].splitlines()
    assert examples[0].strip().startswith("estsim recipe curl https://")


def test_a_url_that_cannot_be_is_refused_in_a_line() -> None:
    """Mistakes and attempts on the shell alike: exit 2, one line that says what is expected, no script."""
    done = at_once({url: partial(estsim, "recipe", "curl", url) for url in REFUSED})
    for url, words in REFUSED.items():
        assert (done[url].code, done[url].out) == (2, ""), url
        (line,) = done[url].mistakes
        assert line.startswith("URL: "), url
        assert words in line, url
        assert "secret" not in line


@pytest.mark.parametrize("kind", Kind)
def test_no_part_of_a_url_is_ever_run(tmp_path: Path, kind: Kind) -> None:
    """Whatever came through: it stays one word. Run without arguments, the script sets its variables and ends."""
    target = TargetUrl(HOSTILE, 443, label=HOSTILE)
    script = script_for(kind, target)
    done = subprocess.run(["sh", "-s"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []
    variables = {"url": str(target)} if kind is Kind.CURL else {"server": HOSTILE, "label": HOSTILE}
    assert {name: shell_sees(script, name) for name in variables} == variables


def test_output_that_cannot_be_written() -> None:
    """A full disk behind stdout is told in a line; exit 2."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        words = [*COMMAND, "recipe", "curl", URL]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert done.stderr == "estsim: output cannot be written: No space left on device\n"


# Tells like estclient and leaves its files, always with exit code 0. Each operation is deferred in its first run, and
# the common name "refused" is. Certificates are signed by the CA in its folder.
ESTCLIENT = r"""#!/bin/sh
set -eu
here=${0%/*}
printf '%s\n' "$*" >> told
operation= key=
while [ $# -gt 0 ]; do
    case $1 in
        -g | -e | -r) operation=$1 ;;
        -k) key=${key:-$2} ;;
        -x) key=$2 ;;
        refused) echo 'Enrollment failed with code 14 (EST_ERR_HTTP_BAD_REQ)'; exit 0 ;;
    esac
    shift
done
if [ "$operation" = -g ]; then
    openssl crl2pkcs7 -nocrl -certfile "$here/ca.pem" -outform DER | openssl base64 > cacert-0-0.pkcs7
elif [ ! -e "$here/deferred$operation" ]; then
    touch "$here/deferred$operation"
    echo '***EST [INFO][est_io_parse_http_retry_after_resp:1]--> Retry-After value = 5'
    echo '***EST [INFO][est_io_parse_http_retry_after_resp:1]--> Retry-After value = 7'
    echo 'Enrollment failed with code 28 (EST_ERR_CA_ENROLL_RETRY)'
else
    openssl req -new -key "$key" -subj /CN=meter -out "$here/csr"
    openssl x509 -req -in "$here/csr" -CA "$here/ca.pem" -CAkey "$here/ca.key" -CAcreateserial -out "$here/crt" 2>&1
    openssl crl2pkcs7 -nocrl -certfile "$here/crt" -outform DER | openssl base64 > cert-0-0.pkcs7
fi
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """Make a folder of programs that stand in for estclient, and for ``sleep``, which tells and does not wait."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, which comes with Debian's openssl")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in {"estclient": ESTCLIENT, "sleep": '#!/bin/sh\necho "$@" >> slept\n'}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    ca = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=CA",
    ]
    subprocess.run([*ca, "-keyout", folder / "ca.key", "-out", folder / "ca.pem"], check=True, capture_output=True)
    return folder


def run_libest(stand_in: Path, **environment: str) -> Done:
    """Run the script for libest beside the stand-in."""
    script = script_for(Kind.LIBEST, TargetUrl("est.example.com", 8443, label="meters"))
    done = subprocess.run(
        ["sh", "-s", "trust.pem", "identity.pem"],
        input=script,
        cwd=stand_in.parent,
        env={**os.environ, "PATH": f"{stand_in}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_libest_script_enrolls_waits_renews_and_rekeys(stand_in: Path) -> None:
    """Each run of estclient gets its options; one that ends deferred is repeated with the same key, after the wait."""
    done = run_libest(stand_in, EST_NAME="meter")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Fetching the CA certificates: estclient -g",
        "Enrolling: estclient -e",
        "deferred: waiting 7 s",
        "first.pem: OK",
        "Renewing: estclient -r",
        "deferred: waiting 7 s",
        "renewed.pem: OK",
        "Enrolling with a new key: estclient -e",
        "second.pem: OK",
        "Done: second.pem has the certificate, second.key its key",
    ]
    folder = stand_in.parent
    assert (folder / "slept").read_text(encoding="utf-8").split() == ["7", "7"]
    first = "-e -x first.key --common-name meter -c identity.pem -k identity.pem"
    renew = "-r -c first.pem -k first.key"
    always = "-v -s est.example.com -p 8443 --path-seg meters -o . -w 60"
    assert (folder / "told").read_text(encoding="utf-8").splitlines() == [
        f"{always} -g -c identity.pem -k identity.pem",
        *(2 * [f"{always} {first}"]),
        *(2 * [f"{always} {renew}"]),
        f"{always} -e -x second.key --common-name meter -c renewed.pem -k first.key",
    ]
    assert (folder / "second.key").stat().st_mode & 0o077 == 0


def test_the_libest_script_ends_where_estclient_fails(stand_in: Path) -> None:
    """The client ends with 0 even then; what it said last is shown, and a file of another time is not its answer."""
    (stand_in.parent / "cert-0-0.pkcs7").write_text("of another time", encoding="utf-8")
    done = run_libest(stand_in, EST_NAME="refused")
    assert done.code == 1
    assert "first: estclient received no certificate" in done.err
    assert "EST_ERR_HTTP_BAD_REQ" in done.err


def test_the_libest_script_gives_up_a_deferral_without_end(stand_in: Path) -> None:
    """With a single run allowed, the one that ends deferred is the last."""
    done = run_libest(stand_in, EST_RUNS="1")
    assert done.code == 1
    assert done.err.startswith("first: still deferred after run 1 ")
