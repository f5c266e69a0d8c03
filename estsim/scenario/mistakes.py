"""What pydantic found wrong, in words for people who write YAML, with the place in the file.

Generic: works for every model of a configuration file. An unknown key suggests the nearest known one, and a key that a
:class:`estsim.fields.Section` lists in ``not_yet`` is refused by name.
"""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from estsim.fields import Section
from estsim.scenario.document import Location, Step
from estsim.units import shown

_NEAR: Final = 0.65  # "retries" still means "retry", "events" no longer "devices"

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
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
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


def shape_mistakes(error: ValidationError, model: type[BaseModel], tell: Callable[[Location, str], Told]) -> list[Told]:
    """Return every mistake of a failed validation; ``tell`` puts a path and a message in their place."""
    found = error.errors(include_url=False)
    misspelt = {_meant(details, model) for details in found if details["type"] == "extra_forbidden"}
    # Pydantic calls a list too short whose members are wrong, however deep within them.
    holding = {details["loc"][:depth] for details in found for depth in range(len(details["loc"]))}
    beside = {"missing": misspelt, "too_short": holding}
    return [
        tell(_path(details["loc"]), _message(details, model))
        for details in found
        if details["loc"] not in beside.get(details["type"], ())
    ]


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'devices'?)`` where a known word is near, else nothing."""
    nearest = _nearest(word, known)
    return f" (did you mean '{nearest}'?)" if nearest else ""


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=_NEAR)), None)


def _path(loc: tuple[Step, ...]) -> Location:
    return tuple(step for step in loc if step != "[key]")


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    came = "***" if details["loc"][-1:] == ("password",) else shown(details["input"])
    if kind == "extra_forbidden":
        return _unknown_key(str(details["loc"][-1]), _section_at(model, details["loc"][:-1]))
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        words = str(context["expected"]).replace("'", "")
        return f"must be {words} (got {came})"
    if kind in _BOUNDS:
        text, bound = _BOUNDS[kind]
        return f"{text.format(context[bound])} (got {came})"
    if kind == "too_short":
        return "must not be empty"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']} (got {came})"
    if kind in _PLAIN:
        return _PLAIN[kind] if kind in ("missing", "string_too_short") else f"{_PLAIN[kind]} (got {came})"
    return f"{details['msg'][:1].lower()}{details['msg'][1:]} (got {came})"


def _unknown_key(key: str, section: type[BaseModel] | None) -> str:
    if section is None:
        return "unknown key"
    if issubclass(section, Section) and key in section.not_yet:
        return f"'{key}' is not supported by this version yet"
    return f"unknown key{suggestion(key, _keys_of(section))}"


def _keys_of(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _meant(details: ErrorDetails, model: type[BaseModel]) -> tuple[Step, ...]:
    """Return the place of the key that an unknown key was meant to be: one slip is told once, not also as missing."""
    loc = details["loc"]
    section = _section_at(model, loc[:-1])
    nearest = _nearest(str(loc[-1]), _keys_of(section)) if section else None
    return (*loc[:-1], nearest) if nearest else loc


def _section_at(model: type[BaseModel], loc: tuple[Step, ...]) -> type[BaseModel] | None:
    """Return the model that describes the mapping at a place."""
    annotations: list[Any] = [model]
    for step in loc:
        annotations = [inner for outer in annotations for inner in _inside(outer, step)]
    return next((found for outer in annotations for found in _models(outer)), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type expression, which has no common type
    """Yield the models that a type expression allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    elif get_origin(annotation) not in (dict, list, tuple, frozenset):
        for alternative in get_args(annotation):
            yield from _models(alternative)


def _inside(annotation: Any, step: Step) -> Iterator[Any]:  # noqa: ANN401 - as above
    """Yield the type expressions of what stands under a key or number."""
    for section in _models(annotation):
        for name, field in section.model_fields.items():
            if step in (name, field.alias):
                yield field.annotation
    for origin, arguments in _containers(annotation):
        yield arguments[1] if origin is dict else arguments[0]


def _containers(annotation: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:  # noqa: ANN401 - as above
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (dict, list, tuple, frozenset):
        yield origin, arguments
    elif origin is not None:
        for alternative in arguments[:1] if origin is Annotated else arguments:
            yield from _containers(alternative)
