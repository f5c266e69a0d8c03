"""Changes to a running sandbox's configuration. Pure."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from estsim.errors import UnitError
from estsim.server.config import DEFAULT

CHANGEABLE: Final = ("issue", "capacity", "faults")  # sections of a trust center
UNWRITTEN: Final = "the sandbox's store cannot be written"  # a run that owns the sandbox looks for this in its output
CHANGED_FILE: Final = "changed.json"  # in a sandbox's folder: the number of the last change, and its error
_CENTERS: Final = "trust_centers"


def changed(config: Mapping[str, Any], changes: Mapping[str, object], label: str | None = None) -> dict[str, Any]:
    """Return a configuration with values at dotted paths, such as ``capacity.rate``, replaced.

    A path is within the trust center of ``label``, unless it begins with ``trust_centers.NAME``. Raises UnitError for
    what cannot change while a sandbox runs; the model checks the values.
    """
    result = deepcopy(dict(config))
    for path, value in changes.items():
        center, steps = _place(result, path, label)
        if not steps or steps[0] not in CHANGEABLE:
            raise UnitError(f"cannot change while the sandbox runs; only {', '.join(CHANGEABLE)} can (got {path})")
        _put(center, steps, value)
    return result


def addressed(changes: Mapping[str, object], label: str | None) -> dict[str, object]:
    """Return changes with the trust center in each path, ``label`` where there was none."""
    prefix = "" if label is None else f"{_CENTERS}.{label}."
    return {path if _names_center(path) else f"{prefix}{path}": value for path, value in changes.items()}


def _names_center(path: str) -> bool:
    return path == _CENTERS or path.startswith(f"{_CENTERS}.")


def _place(config: dict[str, Any], path: str, label: str | None) -> tuple[dict[str, Any], list[str]]:
    """Return the trust center that a path is about, and the steps within it."""
    within = path
    if _names_center(path) and path != _CENTERS:
        label, within = _named(path.removeprefix(f"{_CENTERS}."), config.get(_CENTERS))
    return _center(config, label), within.split(".") if within else []


def _named(path: str, centers: object) -> tuple[str, str]:
    """Split what follows ``trust_centers.`` by the known labels, which may contain dots."""
    known = [name for name in centers if f"{path}.".startswith(f"{name}.")] if isinstance(centers, dict) else []
    label = max(known, key=len, default=path.partition(".")[0])
    return label, path[len(label) + 1 :]


def _center(config: dict[str, Any], label: str | None) -> dict[str, Any]:
    """Return the trust center of a label; None is the default one, whose keys may stand at the top."""
    centers = config.get(_CENTERS)
    if not isinstance(centers, dict):
        if label not in (None, DEFAULT):
            raise UnitError(f"the sandbox has no trust center '{label}'")
        return config
    name = label or DEFAULT
    if name not in centers:
        raise UnitError(f"the sandbox has no trust center '{name}'")
    if not isinstance(centers[name], dict):
        centers[name] = {}
    center: dict[str, Any] = centers[name]
    return center


def _put(center: dict[str, Any], steps: list[str], value: object) -> None:
    at = center
    for step in steps[:-1]:
        if not isinstance(at.get(step), dict):
            at[step] = {}
        at = at[step]
    at[steps[-1]] = value
