"""A sandbox's configuration file (docs/server.md), read like a scenario: variables, places, every mistake at once."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from estsim.errors import ScenarioError, UnitError
from estsim.scenario.checks import bootstrap_cas
from estsim.scenario.data_checks import size_findings, typographic
from estsim.scenario.document import Finding, read_document
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.pem_files import certificates_in
from estsim.scenario.resolved import masked_findings
from estsim.scenario.variables import Variables
from estsim.server.config import SandboxConfig

_SCENARIO: Final = "is a scenario, not a sandbox configuration: expected what a scenario has under `sandbox:`"
_IN_BOTH: Final = frozenset({"seed"})


def is_sandbox(data: object) -> bool:
    """Whether all keys are those of a sandbox's configuration, not of a scenario."""
    keys = frozenset(data) if isinstance(data, dict) else frozenset()
    return bool(keys - _IN_BOTH) and keys <= SandboxConfig.model_fields.keys()


def read_sandbox(path: Path, environment: Mapping[str, str] | None) -> tuple[SandboxConfig, dict[str, Any]]:
    """Read a configuration file; returns the model, and the plain data for later changes.

    ``environment`` is None for a file that a run has made: its variables are expanded already, and ``${`` is literal.

    Raises ScenarioError with every mistake in its place.
    """
    document = read_document(path)
    if environment is not None:
        document = Variables(environment).expanded(document)
    written = document.root.value
    if large := [document.mistake(place, message) for place, message in size_findings(written)]:
        raise ScenarioError(large)
    if isinstance(written, dict) and "cohorts" in written:
        raise ScenarioError([document.mistake((), _SCENARIO)])
    if quoted := [document.mistake(place, message) for place, message in typographic(written)]:
        raise ScenarioError(quoted)
    try:
        sandbox = SandboxConfig.model_validate(written)
    except ValidationError as error:
        raise ScenarioError(shape_mistakes(error, SandboxConfig, document.mistake, written)) from error
    found = chain(masked_findings(written), _unusable(written, path.parent) if environment is not None else ())
    if mistakes := [document.mistake(place, message) for place, message in found]:
        raise ScenarioError(mistakes)
    return sandbox.anchored(path.parent), written if isinstance(written, dict) else {}


def _unusable(written: object, folder: Path) -> Iterator[Finding]:
    """Yield the files of bootstrap CAs without a usable certificate."""
    for place, name in bootstrap_cas(written, ()):
        try:
            certificates_in(folder / name)
        except UnitError as error:
            yield place, str(error)
