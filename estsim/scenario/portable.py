"""A scenario as text for another process, which gives the same plan there: with options and defaults, paths as written.

Trust anchors are not in it: certificates are sent instead of the name of a file. Between processes of one machine it
has the passwords; between machines they are masked, and the reader fills them in from its own file.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from estsim.scenario.behaviours import NO_CODE, CodeAccess
from estsim.scenario.document import Document, parse_document, plain_copy
from estsim.scenario.loader import load_source, refuse_masked
from estsim.scenario.plan import Scenario
from estsim.scenario.resolved import MASKED, literal, masked_findings, without_passwords, yaml_text
from estsim.scenario.source import Source


def portable_text(scenario: Scenario, *, passwords: bool = False) -> str:
    """Return the text; two of the same :func:`fingerprint` are the same plan."""
    named = {"name": scenario.name, "seed": scenario.seed}
    whole: dict[str, Any] = {"version": 1, "name": scenario.name} | dict(scenario.document) | named
    whole.pop("defaults", None)
    if isinstance(target := whole.get("target"), dict):
        whole["target"] = {key: value for key, value in target.items() if key != "trust"}  # it is sent separately
    return yaml_text(literal(whole if passwords else without_passwords(whole)))


def fingerprint(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return sha256(text.encode()).hexdigest()


def load_portable(text: str, *, source: Path, own: Scenario | None = None, code: CodeAccess = NO_CODE) -> Scenario:
    """Read the text of another process; its paths are relative to the folder of ``source``.

    A masked password is taken from the same place of ``own``. Raises ScenarioError, also where that has none.
    """
    document = parse_document(source, text)
    data = _unmasked(_plain(plain_copy(document.root.value)), own.document if own else {})
    read = Source(Document(source, document.root), data)
    cohorts = data.get("cohorts") if isinstance(data, dict) else None
    refuse_masked(read, masked_findings(cohorts or {}, ("cohorts",)))  # those of the sandbox stay masked
    return load_source(read, source, code)


def _plain(value: Any) -> Any:  # noqa: ANN401 - YAML data of any shape
    """Undo :func:`literal`."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value.replace("$${", "${") if isinstance(value, str) else value


def _unmasked(value: Any, own: Any) -> Any:  # noqa: ANN401 - YAML data of any shape
    if isinstance(value, dict):
        theirs = own if isinstance(own, Mapping) else {}
        return {key: _unmasked(member, theirs.get(key)) for key, member in value.items()}
    return own if value == MASKED and isinstance(own, str) else value
