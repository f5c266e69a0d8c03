"""What of a running sandbox can be changed, and the configuration after a change. Pure."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from estsim.errors import UnitError
from estsim.server.config import DEFAULT

CHANGEABLE: Final = ("issue", "capacity", "faults")  # sections of a trust center
CHANGED_FILE: Final = "changed.json"  # in a sandbox's folder: the number of the last change, and what was wrong with it
_CENTERS: Final = "trust_centers"


def changed(config: Mapping[str, Any], changes: Mapping[str, object], label: str | None = None) -> dict[str, Any]:
    """Return a configuration with values at dotted paths, such as ``capacity.rate``, replaced.

    A path is within the trust center of ``label``, unless it begins with ``trust_centers.NAME``. Raises UnitError for
    what cannot change while a sandbox runs; whether the values make sense is for the model to say.
    """
    result = deepcopy(dict(config))
    for path, value in changes.items():
        steps = path.split(".")
        center = _center(result, steps, label)
        if not steps or steps[0] not in CHANGEABLE:
            raise UnitError(f"cannot change while the sandbox runs; {', '.join(CHANGEABLE)} can (got {path})")
        _put(center, steps, value)
    return result


def _center(config: dict[str, Any], steps: list[str], label: str | None) -> dict[str, Any]:
    """Return the trust center that a path is about, and take its name off the path."""
    if steps[0] == _CENTERS and len(steps) > 1:
        label = steps[1]
        del steps[:2]
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
