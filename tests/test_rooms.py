"""Who may import whom: the table of the design, read from the source itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import estsim

ROOT: Final = Path(estsim.__file__).parent

_FIGURES: Final = frozenset({"est", "record"})
_FLEET: Final = frozenset({"est", "load", "pki", "device", "net", "record", "figures", "scenario", "server"})

# The rooms, and whom each may import besides itself and what is open to all.
ROOMS: Final[dict[str, frozenset[str]]] = {
    "est": frozenset(),
    "load": frozenset(),
    "pki": frozenset({"est"}),
    "device": frozenset({"est", "load", "pki"}),
    "net": frozenset({"est", "pki"}),
    "record": frozenset({"est"}),
    "figures": _FIGURES,
    "report": _FIGURES | {"figures"},
    "terminal": _FIGURES | {"figures"},
    "server": frozenset({"est", "load", "pki", "net"}),
    "scenario": frozenset({"est", "load", "pki", "device", "server", "record", "figures"}),
    "fleet": _FLEET,
    "virtual": frozenset({"est", "load", "device", "record", "figures", "server", "scenario", "fleet"}),
    "engine": _FLEET | {"fleet"},
    "locust": _FLEET | {"fleet", "engine"},
}
EVERYTHING: Final = frozenset({"cli", "api", "testing", "__main__", "__init__"})  # may import all, the last when asked
FOR_ALL: Final = frozenset(
    {"units", "unit_advice", "spreads", "nearness", "errors", "fields", "user_files", "arguments", "__init__"}
)  # and import only each other

PURE: Final = frozenset({"est", "load", "device", "units", "unit_advice", "spreads", "nearness"})
IMPURE: Final = frozenset({"trio", "gevent", "httpx", "locust", "rich", "socket", "ssl", "OpenSSL", "time", "random"})


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module imports, wherever in the module it does so."""

    path: Path
    line: int
    name: str

    @property
    def importer(self) -> str:
        """The room that imports, or the module at the top."""
        first = self.path.relative_to(ROOT).parts[0]
        return first.removesuffix(".py")

    @property
    def top(self) -> str:
        """The distribution that is imported from."""
        return self.name.split(".")[0]

    @property
    def room(self) -> str:
        """The room of ours that is imported; the package itself is its ``__init__``."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 and (parts[1] in ROOMS or _is_ours(parts[1])) else "__init__"

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT.parent)}:{self.line} imports {self.name}"


def _is_ours(name: str) -> bool:
    return (ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file()


def imports() -> Iterator[Import]:
    """Yield every import of every module, those inside functions and for annotations too."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (Import(path, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                yield from (Import(path, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


OURS: Final = tuple(each for each in imports() if each.top == "estsim")
FOREIGN: Final = tuple(each for each in imports() if each.top != "estsim")


def test_every_folder_is_a_room() -> None:
    """A new folder or module at the top needs a line in the table."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    modules = {path.stem for path in ROOT.glob("*.py")}
    assert folders == {*ROOMS, "cli"}
    assert modules == (EVERYTHING | FOR_ALL) - {"cli"}
    assert len(OURS) > 300, "the imports were not found"


def test_rooms_import_whom_they_may() -> None:
    """The table of the design holds, line by line."""
    wrong = [
        each
        for each in OURS
        if each.importer not in EVERYTHING
        and each.room not in ROOMS.get(each.importer, frozenset()) | FOR_ALL | {each.importer}
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_pure_rooms_know_no_clock_no_chance_and_no_wire() -> None:
    """What the machine, the protocol and the arrivals do follows from what they are given."""
    wrong = [each for each in FOREIGN if each.importer in PURE and each.top in IMPURE]
    assert not wrong, "\n".join(map(str, wrong))


def test_gevent_stays_with_the_master_and_the_users() -> None:
    """Importing locust patches the interpreter with gevent, in which trio cannot run."""
    of_worker = ROOT / "locust" / "worker"
    wrong = [
        each
        for each in FOREIGN
        if each.top in {"locust", "gevent"} and (each.importer != "locust" or of_worker in each.path.parents)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_trio_and_the_engine_stay_out_of_gevent_s_processes() -> None:
    """The other way round; ``estsim worker`` is a process of trio, and nothing of Locust's knows it."""
    of_worker = ROOT / "locust" / "worker"
    elsewhere = [each for each in (*OURS, *FOREIGN) if each.importer == "locust" and of_worker not in each.path.parents]
    wrong = [
        each
        for each in elsewhere
        if each.top == "trio" or each.room == "engine" or each.name.startswith("estsim.locust.worker")
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_httpx_is_used_in_net_only() -> None:
    """The HTTP client is a detail of the wire."""
    wrong = [each for each in FOREIGN if each.top == "httpx" and each.importer != "net"]
    assert not wrong, "\n".join(map(str, wrong))


# What is ours to name and to number in the library's X.509; its certificates and requests are not among it.
OWN_X509: Final = frozenset(
    [
        "Name",
        "NameAttribute",
        "NameOID",
        "RelativeDistinguishedName",
        "ObjectIdentifier",
        "oid",
        "SubjectAlternativeName",
        "GeneralName",
        "DNSName",
        "IPAddress",
        "RFC822Name",
        "UniformResourceIdentifier",
    ]
)
# By these the library's certificates, requests and lists of them are come by, or pyOpenSSL's are made of them.
LAZY_READERS: Final = frozenset(
    [
        "load_der_x509_certificate",
        "load_pem_x509_certificate",
        "load_pem_x509_certificates",
        "load_der_x509_csr",
        "load_pem_x509_csr",
        "load_der_pkcs7_certificates",
        "load_pem_pkcs7_certificates",
        "to_cryptography",
        "from_cryptography",
        "as_cryptography",
        "CertificateBuilder",
        "CertificateSigningRequestBuilder",
    ]
)


def test_no_certificate_of_a_peer_is_the_library_s_object() -> None:
    """It reads lazily, and raises where nobody reckons with it: :mod:`estsim.est.certificate` reads them, once."""
    wrong = [
        each
        for each in FOREIGN
        if each.name.startswith("cryptography.x509.") and not OWN_X509.issuperset(each.name.split(".")[2:])
    ]
    named = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = {
                ast.Attribute: lambda node: [node.attr],
                ast.Name: lambda node: [node.id],
                ast.keyword: lambda node: [node.arg],
            }.get(type(node), lambda _: [])(node)
            is_x509 = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "x509"
            if LAZY_READERS.intersection(words) or (is_x509 and not OWN_X509.issuperset(words)):
                named.append(f"{path.relative_to(ROOT.parent)}:{getattr(node, 'lineno', 0)}: {words[0]}")
    assert not [*map(str, wrong), *named], "\n".join([*map(str, wrong), *named])


def test_only_the_command_line_prints_or_exits() -> None:
    """``print``, ``sys.exit`` and the like are in cli/ alone."""
    found = [
        f"{path.relative_to(ROOT.parent)}:{node.lineno}: {node.func.id}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "exit", "quit"}
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("estsim.engine.run", "locust gevent"),
        ("estsim.cli.worker", "locust gevent"),
        ("estsim.device.exchange", "trio httpx rich locust gevent OpenSSL pydantic"),
        ("estsim.load.arrivals", "trio httpx rich locust gevent OpenSSL pydantic"),
        ("estsim.net.transport", "trio locust gevent"),
        ("estsim.net.io_blocking", "trio locust gevent"),
        ("estsim.fleet.device_loop", "trio locust gevent"),
        ("estsim.locust.user", "trio"),
    ],
)
def test_what_a_module_loads(module: str, unwanted: str) -> None:
    """What the source says holds at run time too, with all that is imported on the way."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & set(unwanted.split()) == set()
