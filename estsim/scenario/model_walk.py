"""Navigation in the models of a configuration file: the section at a place, the places of a key."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel

from estsim.scenario.document import Location, Step

NAME: Final = "NAME"  # stands for any name
_ENTRY: Final = 0  # stands for any entry of a list
_MOST_SHOWN: Final = 2
_CENTERS: Final = "trust_centers"  # repeats the keys of the sandbox


def keys_of(section: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of a section as in a file."""
    return tuple(field.alias or name for name, field in section.model_fields.items())


def section_at(model: type[BaseModel], loc: Location) -> type[BaseModel] | None:
    """Return the model that describes the mapping at a place."""
    annotations: list[Any] = [model]
    for step in loc:
        annotations = [inner for outer in annotations for inner in _inside(outer, step)]
    return next((found for outer in annotations for found in _models(outer)), None)


def homes_of(key: str, loc: Location, model: type[BaseModel], beside: frozenset[str]) -> tuple[Location, ...]:
    """Return the places of the sections that a key belongs to, the likeliest first; ``loc`` is its present place.

    A place is likelier if it shares more of its path with that, leads through a key ``beside`` it, and is nearer to the
    top.
    """
    homes = _homes(model).get(key, ())
    ranked = sorted(homes, key=lambda home: _rank(home, loc, beside))
    best = [home for home in ranked if _rank(home, loc, beside) == _rank(ranked[0], loc, beside)]
    return tuple(_named_as(home, loc) for home in best[:_MOST_SHOWN])


def _rank(home: Location, loc: Location, beside: frozenset[str]) -> tuple[int, bool, int]:
    shared = _shared(home, loc)
    return -shared, not (shared == len(loc) < len(home) and home[shared] in beside), len(home)


def _shared(home: Location, loc: Location) -> int:
    count = 0
    for ours, theirs in zip(home, loc, strict=False):
        if ours not in (theirs, NAME) and not (isinstance(ours, int) and isinstance(theirs, int)):
            break
        count += 1
    return count


def _named_as(home: Location, loc: Location) -> Location:
    """Return a place with the names and numbers of the other one."""
    shared = _shared(home, loc)
    return (*loc[:shared], *home[shared:])


@cache
def _homes(model: type[BaseModel]) -> dict[str, tuple[Location, ...]]:
    found: dict[str, list[Location]] = {}
    waiting: list[tuple[Location, Any]] = [((), model)]
    while waiting:
        at, annotation = waiting.pop(0)
        for section in _models(annotation):
            for name, field in section.model_fields.items():
                key = field.alias or name
                found.setdefault(key, []).append(at)
                if key != _CENTERS:
                    waiting.append(((*at, key), field.annotation))
        for origin, arguments in containers(annotation):
            waiting.append(((*at, NAME), arguments[1]) if origin is dict else ((*at, _ENTRY), arguments[0]))
    return {key: tuple(dict.fromkeys(homes)) for key, homes in found.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - type expressions have no common type
    """Yield the models that a type expression allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    elif get_origin(annotation) not in (dict, list, tuple, frozenset):
        for alternative in get_args(annotation):
            yield from _models(alternative)


def _inside(annotation: Any, step: Step) -> Iterator[Any]:  # noqa: ANN401 - as above
    """Yield the type expressions of the value under a key or number."""
    for section in _models(annotation):
        for name, field in section.model_fields.items():
            if step in (name, field.alias):
                yield field.annotation
    for origin, arguments in containers(annotation):
        yield arguments[1] if origin is dict else arguments[0]


def containers(annotation: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:  # noqa: ANN401 - as above
    """Yield the mappings and lists that a type expression allows, with their arguments."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (dict, list, tuple, frozenset):
        yield origin, arguments
    elif origin is not None:
        for alternative in arguments[:1] if origin is Annotated else arguments:
            yield from containers(alternative)
