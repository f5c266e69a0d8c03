"""A scenario written back: the copy in a run's results, and the configuration of the run's own sandbox.

Passwords are masked in the copy. One that came from a variable is written as that variable; the others have to be
filled in again before the copy can be run.
"""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from estsim.scenario.document import Location
from estsim.scenario.plan import Authority, MadeAuthority
from estsim.scenario.variables import FilledIn

MASKED: Final = "***"
_HEAD: Final = "# Scenario as run, with options and defaults, without passwords.\n"
VARIABLE: Final = "EST_PASSWORD"
_WHY: Final = f"is the mask {MASKED}, not a password"


def sandbox_block(
    data: dict[str, Any], authorities: Mapping[str, Authority], seed: int, folder: Path
) -> dict[str, Any]:
    """Return the sandbox's configuration with the scenario's seed and trusted authorities.

    Entries of ``bootstrap_cas`` become absolute paths. The name of an authority that the run makes stays, until the
    engine has written its certificate.
    """
    block = {"seed": seed} | (data.get("sandbox") or {})
    centers = block.get("trust_centers")
    if isinstance(centers, dict):
        return block | {"trust_centers": {k: _trusting(part, authorities, folder) for k, part in centers.items()}}
    return _trusting(block, authorities, folder)


def _trusting(center: dict[str, Any], authorities: Mapping[str, Authority], folder: Path) -> dict[str, Any]:
    clients = center.get("clients") or {}
    if "bootstrap_cas" not in clients:
        return center
    named = [_ca(entry, authorities, folder) for entry in clients["bootstrap_cas"]]
    return center | {"clients": clients | {"bootstrap_cas": named}}


def _ca(entry: str, authorities: Mapping[str, Authority], folder: Path) -> str:
    authority = authorities.get(entry)
    if isinstance(authority, MadeAuthority):
        return entry
    return str((authority.cert if authority else folder / entry).absolute())


def resolved_text(data: dict[str, Any], sandbox: dict[str, Any] | None, *, name: str, seed: int, folder: Path) -> str:
    """Return the scenario as run: with options and defaults, absolute paths, and passwords as variables or masked."""
    whole: dict[str, Any] = {"version": 1, "name": name} | data | {"name": name, "seed": seed}
    whole.pop("defaults", None)
    if "sandbox" in whole:
        whole["sandbox"] = sandbox
    target = whole.get("target", {})
    if isinstance(trust := target.get("trust"), dict):
        whole["target"] = target | {"trust": _with_paths(trust, folder)}
    if "authorities" in whole:
        whole["authorities"] = {key: _with_paths(part, folder) for key, part in whole["authorities"].items()}
    whole["cohorts"] = {key: _cohort_with_paths(part, folder) for key, part in whole["cohorts"].items()}
    return _HEAD + yaml_text(without_passwords(literal(whole), keep_variables=True))


def yaml_text(data: dict[str, Any]) -> str:
    """Return plain data as a YAML file."""
    yaml: Any = YAML(typ="safe", pure=True)  # ruamel's settings are plain attributes that its annotations get wrong
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 120
    yaml.representer.add_representer(FilledIn, lambda representer, text: representer.represent_str(str(text)))
    text = StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def _with_paths(part: dict[str, Any], folder: Path) -> dict[str, Any]:
    named = {key: part.get(key) for key in ("ca", "cert", "key", "path", "trace")}
    return part | {key: str((folder / path).absolute()) for key, path in named.items() if isinstance(path, str)}


def _cohort_with_paths(cohort: dict[str, Any], folder: Path) -> dict[str, Any]:
    parts = {key: cohort.get(key) for key in ("boot", "bootstrap")}
    return cohort | {key: _with_paths(part, folder) for key, part in parts.items() if isinstance(part, dict)}


def literal(value: Any) -> Any:  # noqa: ANN401 - YAML data of any shape
    """Return data with every ``${`` escaped, as all variables are expanded already."""
    if isinstance(value, dict):
        return {key: literal(member) for key, member in value.items()}
    if isinstance(value, list):
        return [literal(member) for member in value]
    if isinstance(value, FilledIn):
        return FilledIn.by(value.variable, value.replace("${", "$${"))
    return value.replace("${", "$${") if isinstance(value, str) else value


def without_passwords(value: Any, *, keep_variables: bool = False) -> Any:  # noqa: ANN401 - YAML data of any shape
    """Return data with every password masked, or as the variable that it came from."""
    if isinstance(value, dict):
        return {
            key: _masked(member, keep_variables=keep_variables)
            if key == "password"
            else without_passwords(member, keep_variables=keep_variables)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [without_passwords(member, keep_variables=keep_variables) for member in value]
    return value


def _masked(password: object, *, keep_variables: bool) -> str:
    return f"${{{password.variable}}}" if keep_variables and isinstance(password, FilledIn) else MASKED


def masked_findings(value: object, place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield every masked password in plain data, at its place."""
    for at, _ in _masked_passwords(value, place):
        yield at, f"{_WHY}: write the password"


def fill_masked(value: object, environment: Mapping[str, str], place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Fill in masked passwords from variables, and yield the places of those without a variable.

    ``EST_PASSWORD_USER`` is the password of one user, ``EST_PASSWORD`` of all others.
    """
    for at, holder in _masked_passwords(value, place):
        own = _variable_of(at, holder)
        variable = next((name for name in (own, VARIABLE) if environment.get(name, MASKED) not in ("", MASKED)), None)
        if variable:
            holder["password"] = FilledIn.by(variable, environment[variable])
        else:
            wanted = VARIABLE if own == VARIABLE else f"{VARIABLE} (or {own})"
            yield at, f"{_WHY}: set the variable {wanted}, or write the password"


def _variable_of(at: Location, holder: Mapping[str, object]) -> str:
    """Return the variable for a user's password; the user is next to it (a cohort) or above it (a sandbox)."""
    user = holder.get("user") or (at[-2] if at[-3:-2] == ("users",) else "")
    name = re.sub("[^A-Z0-9]+", "_", str(user).upper()).strip("_")
    return f"{VARIABLE}_{name}" if name else VARIABLE


def _masked_passwords(value: object, place: Location) -> Iterator[tuple[Location, dict[str, object]]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in list(members):
        if step == "password" and member == MASKED and isinstance(value, dict):
            yield (*place, step), value
        else:
            yield from _masked_passwords(member, (*place, step))
