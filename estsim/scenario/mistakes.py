"""Pydantic's refusals in the scenario language, each with the place in the file.

Generic: works for every model of a configuration file. What was probably meant is said wherever it can be known.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from estsim.fields import Section
from estsim.scenario.document import Location, Step
from estsim.scenario.model_walk import section_at
from estsim.scenario.scalar_advice import flag_meant, list_meant, whole_number_meant, word_meant
from estsim.scenario.section_advice import Stray, mapping_meant, meant_at, unknown_key
from estsim.units import shown

_MOST_TOLD: Final = 500  # who has more mistakes will run it again anyway

Told = TypeVar("Told")

_PLAIN: Final = {
    "missing": "is missing",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "set_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number with fewer digits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be the path of a file",
    "none_required": "must not be given",
}
_BOUNDS: Final = {
    "greater_than": ("must be greater than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
}


_SAY_ALL: Final = frozenset({"missing", "string_too_short", "too_short"})  # whatever came
_NUMBERS: Final = frozenset({"int_type", "int_parsing", "int_from_float", "int_parsing_size"})
_FLAGS: Final = frozenset({"bool_type", "bool_parsing"})
_LISTS: Final = frozenset({"list_type", "tuple_type", "frozen_set_type", "set_type"})
_SECRETIVE: Final = frozenset({"HttpAuthModel", "UserConfig"})  # what stands in their place may be a password


def shape_mistakes(
    error: ValidationError, model: type[BaseModel], tell: Callable[[Location, str], Told], data: object = None
) -> list[Told]:
    """Return every mistake of a failed validation; ``tell`` puts a path and a message in their place.

    With the ``data`` that was validated, what stands beside a key helps to say where it belongs.
    """
    found = error.errors(include_url=False)
    unknown = islice((details for details in found if details["type"] == "extra_forbidden"), _MOST_TOLD)
    misspelt = {_meant(details, model, data) for details in unknown}
    # Pydantic calls a list too short whose members are wrong, however deep within them.
    holding = {details["loc"][:depth] for details in found for depth in range(len(details["loc"]))}
    beside = {"missing": misspelt, "too_short": holding}
    told = (details for details in found if details["loc"] not in beside.get(details["type"], ()))
    return [tell(_path(details["loc"]), _message(details, model, data)) for details in islice(told, _MOST_TOLD)]


def _path(loc: tuple[Step, ...]) -> Location:
    return tuple(_told_step(step) for step in loc if step != "[key]")


def _told_step(step: Step) -> Step:
    """Return a step as it may be told: a key such as ``password:secret``, which lacks its space, holds the secret."""
    return "password" if isinstance(step, str) and step.startswith("password:") else step


def _meant(details: ErrorDetails, model: type[BaseModel], data: object) -> Location:
    stray = _stray(details["loc"], model, data)
    return details["loc"] if stray is None else meant_at(stray)


def _stray(loc: Location, model: type[BaseModel], data: object) -> Stray | None:
    section = section_at(model, loc[:-1])
    return Stray(str(loc[-1]), loc[:-1], section, model, _mapping_at(data, loc[:-1])) if section else None


def _mapping_at(data: object, loc: Location) -> dict[str, object]:
    """Return the mapping at a place of the data, none where something else is there."""
    at: Any = data
    for step in loc:
        is_there = isinstance(at, dict) and step in at
        is_entry = isinstance(at, Sequence) and isinstance(step, int) and step < len(at)
        at = at[step] if is_there or is_entry else None
    return at if isinstance(at, dict) else {}


def _message(details: ErrorDetails, model: type[BaseModel], data: object) -> str:
    kind, context, loc, value = details["type"], details.get("ctx", {}), details["loc"], details["input"]
    came = "***" if loc[-1:] == ("password",) else shown(value)
    if kind == "extra_forbidden":
        stray = _stray(loc, model, data)
        return "unknown key" if stray is None else unknown_key(stray)
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        return _choice(str(context["expected"]), value, came)
    if kind in _BOUNDS:
        text, bound = _BOUNDS[kind]
        return f"{text.format(context[bound])} (got {came})"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']} (got {came})"
    if kind in ("model_type", "model_attributes_type"):
        return _no_mapping(section_at(model, loc), value, came)
    if kind in _PLAIN:
        return _PLAIN[kind] if kind in _SAY_ALL else _no_scalar(kind, value, came)
    return f"{details['msg'][:1].lower()}{details['msg'][1:]} (got {came})"


def _no_mapping(section: type[BaseModel] | None, value: object, came: str) -> str:
    hidden = section is not None and section.__name__ in _SECRETIVE and not isinstance(value, bool | None)
    if hidden and section is not None and issubclass(section, Section):
        return f"must be a mapping such as {section.example} (got ***)"
    return f"must be a mapping{mapping_meant(section, value)} (got {came})"


def _no_scalar(kind: str, value: object, came: str) -> str:
    write = _scalar_meant(kind, value)
    if write is not None and write.startswith("remove the quotes"):
        came = f'"{came}"'
    return f"{_PLAIN[kind]}{f': {write}' if write else ''} (got {came})"


def _scalar_meant(kind: str, value: object) -> str | None:
    if kind in _NUMBERS:
        return whole_number_meant(value)
    if kind in _FLAGS:
        return flag_meant(value)
    if kind in _LISTS:
        return list_meant(value)
    if kind == "dict_type" and isinstance(value, list):
        return "write each entry as NAME: without a `-`"
    if kind == "string_type" and isinstance(value, dict):
        return "put text that begins with { in quotes"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes"
    return None


def _choice(expected: str, value: object, came: str) -> str:
    """Say which words there are, and which of them was probably meant."""
    words = expected.replace("'", "")
    known = words.replace(" or ", ", ").split(", ")
    meant = word_meant(value, known)
    write = f": write {meant}" if meant is not None and len(known) > 1 else ""
    return f"must be {words}{write} (got {came})"
