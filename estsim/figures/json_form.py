"""Frozen values as JSON, and untrusted JSON as values: the fields of a dataclass are the keys of a block, in order.

A value that is missing, null or of the wrong type becomes None where the field allows it, else empty (0, "", no
entries, an empty block), because every run must give a report, even one of another version. Of lists and mappings,
members of the wrong type are left out, unless they are blocks or may be None.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

NOT_WRITTEN: Final = {"written": False}  # metadata of a field without a key
LEFT_OUT_IF_NONE: Final = {"written": None}  # of a field whose key is left out with a value of None

_LARGEST: Final = 1e15  # of a figure: seconds, bytes, counts
_OTHER: Final = object()  # of the wrong type
_Value = TypeVar("_Value")


def keyed(key: str) -> Mapping[str, str]:
    """Return the metadata of a field whose key is not a Python name."""
    return {"key": key}


def json_of(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value in the types that :mod:`json` writes."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = [(each, getattr(value, each.name)) for each in fields(value)]
        return {_key(each): json_of(part) for each, part in parts if _is_written(each, part)}
    if isinstance(value, Mapping):
        return {str(key): json_of(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [json_of(part) for part in value]
    return value


def read_json(kind: Callable[..., _Value], found: object) -> _Value:
    """Return a dataclass read from a block."""
    source = found if isinstance(found, Mapping) else {}
    return kind(**{name: _or_empty(hint, source.get(key)) for name, key, hint in _parts(kind)})


def _key(each: Field[Any]) -> str:
    return str(each.metadata.get("key", each.name))


def _is_key(each: Field[Any]) -> bool:
    return each.metadata.get("written") is not False


def _is_written(each: Field[Any], value: object) -> bool:
    return _is_key(each) and not (value is None and "written" in each.metadata)


@cache
def _parts(kind: Any) -> tuple[tuple[str, str, Any], ...]:  # noqa: ANN401 - a type, as something hashable
    """Return name, key and type of each field."""
    hints = get_type_hints(kind)
    return tuple((each.name, _key(each), hints[each.name]) for each in fields(kind) if _is_key(each))


def _or_empty(hint: Any, found: object) -> Any:  # noqa: ANN401 - of whatever type the hint says
    read = _read(hint, found)
    if read is not _OTHER:
        return read
    if isinstance(hint, UnionType):
        return None
    origin = get_origin(hint)
    if origin is None:
        return read_json(hint, {}) if isinstance(hint, type) and is_dataclass(hint) else hint()
    return () if origin is tuple else {}


def _read(hint: Any, found: object) -> Any:  # noqa: ANN401 - of whatever type the hint says
    """Return a value of the hint's type, or `_OTHER`."""
    if isinstance(hint, UnionType):
        (inner,) = (each for each in get_args(hint) if each is not NoneType)
        return None if found is None else _read(inner, found)
    origin = get_origin(hint)
    if origin is tuple:
        return _read_list(get_args(hint), found)
    if origin is not None:
        return _read_mapping(get_args(hint)[1], found)
    if isinstance(hint, type) and is_dataclass(hint):
        return read_json(hint, found) if isinstance(found, Mapping) else _OTHER
    if hint in (int, float):
        return _read_number(hint, found)
    return found if isinstance(found, hint) else _OTHER


def _read_number(hint: Any, found: object) -> Any:  # noqa: ANN401 - the same
    is_one = isinstance(found, hint | int) and not isinstance(found, bool)
    return found if is_one and isinstance(found, int | float) and abs(found) <= _LARGEST else _OTHER


def _read_list(hints: tuple[Any, ...], found: object) -> Any:  # noqa: ANN401 - the same
    if not isinstance(found, list | tuple):
        return _OTHER
    if hints[-1] is ...:
        return tuple(read for each in found if (read := _read(hints[0], each)) is not _OTHER)
    read = tuple(_read(hint, each) for hint, each in zip(hints, found, strict=False))
    return read if len(read) == len(hints) == len(found) and _OTHER not in read else _OTHER


def _read_mapping(hint: Any, found: object) -> Any:  # noqa: ANN401 - the same
    if not isinstance(found, Mapping):
        return _OTHER
    keeps = isinstance(hint, UnionType) or is_dataclass(hint)
    read = {str(key): (_or_empty if keeps else _read)(hint, each) for key, each in found.items()}
    return {key: each for key, each in read.items() if each is not _OTHER}
