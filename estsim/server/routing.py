"""From the path of a request to its trust center and operation (RFC 7030 §3.2.2)."""

import re
from collections.abc import Collection, Container
from dataclasses import dataclass
from typing import Final

from estsim.est.messages import EstRequest
from estsim.est.operations import WELL_KNOWN, Operation
from estsim.server.answer import Refused
from estsim.server.config import DEFAULT

HEALTH: Final = "/healthz"
_ABSOLUTE: Final = re.compile("https?://[^/]*", re.IGNORECASE)
_SHOWN: Final = 200  # characters of a path
_LABELS: Final = 10  # named in a refusal
_NAMES: Final = tuple(operation.value for operation in Operation)
_OPERATIONS: Final = ", ".join(_NAMES)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes."""

    label: str
    operation: Operation


def path_of(request: EstRequest) -> str:
    """Return a request's path without its query; a server MUST accept the absolute form as well (RFC 9112 §3.2.2)."""
    path = request.path.partition("?")[0]
    authority = _ABSOLUTE.match(path)
    return path if authority is None else path[authority.end() :] or "/"


def route(request: EstRequest, labels: Collection[str]) -> Route:
    """Return where a request goes; raises ``Refused``."""
    path = path_of(request)
    tail = path.removeprefix(f"{WELL_KNOWN}/")
    if tail == path:
        raise Refused(404, f"expected a path under {WELL_KNOWN}/ (got {path[:_SHOWN]})")
    label, slash, rest = tail.partition("/")
    if not slash:
        return Route(DEFAULT, _operation(tail, labels))
    if label == DEFAULT or label not in labels:
        if not rest and label in _NAMES:
            raise Refused(404, f"expected {label} without a trailing slash (got {path[:_SHOWN]})")
        others = [name for name in labels if name != DEFAULT]
        more = f" and {len(others) - _LABELS} more" if len(others) > _LABELS else ""
        has = f"the labels {', '.join(others[:_LABELS])}{more}" if others else "no labels"
        raise Refused(404, f"expected a known label (got {label[:40] or 'nothing'}; this sandbox has {has})")
    return Route(label, _operation(rest, labels))


def expect_method(request: EstRequest, operation: Operation) -> None:
    """Refuse a request with the wrong method."""
    if request.method != operation.method:
        text = f"expected {operation.method} for {operation.value} (got {request.method[:20]})"
        raise Refused(405, text, (("allow", operation.method),))


def _operation(name: str, labels: Container[str]) -> Operation:
    try:
        return Operation(name)
    except ValueError:
        is_label = name in labels and name != DEFAULT
        hint = f"; {name[:40]} is a label; add the operation after it" if is_label else ""
        raise Refused(404, f"expected one of {_OPERATIONS} (got {name[:40] or 'nothing'}{hint})") from None
