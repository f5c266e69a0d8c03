"""A scenario's data after overrides of the command line, with defaults merged into the cohorts.

Keeps the origin of every value, so that a mistake is reported where it was written: in a cohort, once in the defaults
that many cohorts use, or in the option that set it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from estsim.errors import Mistake, ScenarioError, UsageError
from estsim.fields import SECRET_KEYS
from estsim.figures.thresholds import DEFAULT_THRESHOLDS
from estsim.nearness import nearest, suggestion
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import Document, Location, dotted, parse_document, plain_copy
from estsim.scenario.nodes import DEEPEST
from estsim.units import shown

_SURE: Final = "devices"  # a mapping with this key is a cohort, whatever its name
_COHORT_KEY: Final = 3  # cohorts.NAME.KEY: the cohort has to exist
_NAMED: Final = {"cohorts": "cohort", "phases": "phase", "authorities": "authority"}
# Alternatives: a cohort's choice replaces the default instead of being merged with it.
_REPLACED_WHOLE: Final = frozenset({"boot", "bootstrap", "start"})
_EXCLUSIVE: Final = {"at": "after", "after": "at", "early": "late", "late": "early"}
_DISTRIBUTIONS: Final = frozenset({"normal", "lognormal"})


def reindented(data: dict[str, Any], keys: frozenset[str]) -> Iterator[tuple[Location, str]]:
    """Move ``keys`` of a cohort that are indented too little into the cohort above, and yield the mistakes."""
    cohorts, defaults = data.get("cohorts"), data.get("defaults")
    if not isinstance(cohorts, dict) or (isinstance(defaults, dict) and _SURE in defaults):
        return
    above: str | None = None
    for name in list(cohorts):
        value = cohorts[name]
        if name not in keys or (isinstance(value, dict) and _SURE in value):
            above = name
        elif above is not None and isinstance(cohorts[above], dict | None):
            cohorts[above] = {name: value, **(cohorts[above] or {})}
            del cohorts[name]
            yield ("cohorts", name), f"{name} is a cohort's key: indent it under {shown(above)}"


def location_of(key: str) -> Location:
    """Return the place of ``cohorts.north.devices``; raises UsageError."""
    steps = tuple(key.split("."))
    if not all(steps):
        raise UsageError(f"--set {key}: expected a key such as cohorts.north.devices")
    if len(steps) > DEEPEST:
        raise UsageError(f"--set {shown(key)}: is nested more than {DEEPEST} deep")
    return steps


def value_of(key: str, text: str) -> object:
    """Return a value as YAML reads it; raises UsageError."""
    try:
        return parse_document(Path("--set"), text).root.value if text.strip() else None
    except ScenarioError as error:
        raise UsageError(f"{option_of(key, text)}: {error.mistakes[0].message}") from error


def option_of(key: str, text: str) -> str:
    """Return the option for a message, without a password."""
    hidden = not SECRET_KEYS.isdisjoint(key.split(".")) or "password" in text
    return f"--set {key}={'***' if hidden else text}"


def mistaken_place(at: Location, data: object) -> str | None:
    """Return what is wrong with a place that leads through a missing name or a value without keys, or None."""
    names = data.get(at[0]) if isinstance(data, dict) else None
    if len(at) > 1 and at[0] in _NAMED and isinstance(names, dict) and at[1] not in names:
        name, known = str(at[1]), tuple(map(str, names))
        # A whole cohort may be added, and a phase or an authority whose name resembles no other.
        if (at[0] == "cohorts" and len(at) >= _COHORT_KEY) or nearest(name, known):
            return f"there is no {_NAMED[str(at[0])]} '{shown(name)}'{suggestion(name, known)}"
    top = data if isinstance(data, dict) else {}
    cohorts = top.get("cohorts")
    if isinstance(cohorts, dict) and at[0] in cohorts and at[0] not in top:
        return f"unknown key: write cohorts.{dotted(at)}"
    value: Any = data
    for depth, step in enumerate(at):
        if isinstance(value, list):
            return f"{dotted(at[:depth])} is a list; set it as a whole: --set '{dotted(at[:depth])}=[…]'"
        if depth > 0 and value is not None and value != "off" and not isinstance(value, dict):
            return f"{dotted(at[:depth])} is a value without keys (got {shown(value)})"
        value = value.get(step) if isinstance(value, Mapping) else None
    return None


@dataclass(frozen=True, slots=True)
class Overrides:
    """The overrides of the command line.

    ``set`` has pairs such as (``cohorts.north.devices``, ``100``), the value in YAML. ``devices`` is the whole fleet,
    split across the cohorts in proportion; ``workers`` is a number or ``auto``. ``url`` replaces a sandbox. ``trust``
    is a PEM file, relative to the working directory.
    """

    devices: int | None = None
    duration: str | None = None
    seed: int | None = None
    url: str | None = None
    trust: Path | None = None
    workers: str | None = None
    set: tuple[tuple[str, str], ...] = ()
    strict: bool = False  # thin passes of thresholds fail
    behaviours: tuple[tuple[str, str], ...] = ()  # classes by cohort, as the key ``behaviour`` has them


@dataclass(slots=True)
class Source:
    """The data to validate, and the origin of each part."""

    document: Document
    data: Any
    options: dict[Location, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)  # of the options themselves

    def tell(self, path: Location, message: str) -> Mistake:
        """Return a mistake in its place."""
        if (option := self._option_of(path)) is not None:
            return self.document.mistake(path, f"{message}, from {option}")
        if path[:1] == ("cohorts",) and len(path) > 2:  # noqa: PLR2004 - a key of a cohort
            in_defaults = ("defaults", *path[2:])
            found, _ = self.document.find(path)
            if len(self.document.find(in_defaults)[0]) - 1 > len(found) - 2:
                return self.document.mistake(in_defaults, message)
        return self.document.mistake(path, message)

    def _option_of(self, path: Location) -> str | None:
        """Return the option that set a path, a part above it, or a part below it that the file does not have."""
        above = (self.options[path[:depth]] for depth in range(1, len(path) + 1) if path[:depth] in self.options)
        if (option := next(above, None)) is not None or self.document.find(path)[0] == path:
            return option
        return next((option for place, option in self.options.items() if place[: len(path)] == path), None)

    def set(self, path: Location, value: object, option: str) -> None:
        """Change a value and remember which option did."""
        if not isinstance(self.data, dict):
            return  # the file is not a mapping, which is reported anyway
        at = self.data
        for step in path[:-1]:
            if not isinstance(at.get(step), dict):
                at[step] = {}
            at = at[step]
        at[path[-1]] = value
        self.options[path] = option

    def reindent_cohorts(self) -> None:
        """Move keys of a cohort that are indented too little, and keep that mistake."""
        wrong = reindented(self.data, frozenset(CohortModel.model_fields)) if isinstance(self.data, dict) else ()
        self.mistakes += [self.tell(place, message) for place, message in wrong]

    def merge_defaults(self) -> None:
        """Merge the defaults into every cohort; the validation reports what is not a mapping."""
        data = self.data
        if not isinstance(data, dict) or not isinstance(data.get("cohorts"), dict):
            return
        defaults = data.get("defaults", {})
        for name, cohort in data["cohorts"].items():
            if isinstance(defaults, dict) and (cohort is None or isinstance(cohort, dict)):
                data["cohorts"][name] = merged(defaults, cohort or {})


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping merged deeply over the defaults, except for alternatives, which replace them."""
    result = {key: plain_copy(value) for key, value in defaults.items() if key not in own and not excluded(key, own)}
    for key, value in own.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict) and is_mixed(key, default, value):
            result[key] = merged(default, value)
        else:
            result[key] = value
    return result


def is_mixed(key: str, default: object, value: object) -> bool:
    """Whether two mappings under a key are merged; of alternatives the upper one replaces the lower."""
    return key not in _REPLACED_WHOLE and not _is_distribution(default) and not _is_distribution(value)


def excluded(key: object, own: Collection[object]) -> bool:
    """Whether a lower key is replaced by an alternative to it in ``own``."""
    return isinstance(key, str) and _EXCLUSIVE.get(key) in own


def _is_distribution(value: object) -> bool:
    return isinstance(value, dict) and not _DISTRIBUTIONS.isdisjoint(value)


def overridden(document: Document, overrides: Overrides) -> Source:
    """Return a file's data with overrides and merged defaults; raises UsageError for a bad option."""
    source = Source(document, plain_copy(document.root.value))
    _apply_all(source, overrides)
    if overrides.duration is not None:
        source.set(("duration",), overrides.duration, f"--duration {overrides.duration}")
    if overrides.seed is not None:
        source.set(("seed",), overrides.seed, f"--seed {overrides.seed}")
    if overrides.workers is not None:
        text = overrides.workers
        workers = int(text) if text.isdecimal() else text
        source.set(("generator", "workers"), workers, f"--workers {text}")
    if overrides.url is not None:
        source.set(("target", "url"), overrides.url, f"--url {overrides.url}")
        if isinstance(source.data, dict):
            source.data.pop("sandbox", None)
    if overrides.trust is not None:
        trust = {"ca": str(overrides.trust.absolute())}
        source.set(("target", "trust"), trust, f"--trust {overrides.trust}")
    source.reindent_cohorts()
    source.merge_defaults()
    if overrides.strict:
        _make_strict(source.data)
    if overrides.devices is not None:
        _share_out(source, overrides.devices)
    return source


def _apply_all(source: Source, overrides: Overrides) -> None:
    for key, text in overrides.set:
        _apply(source, location_of(key), value_of(key, text), option_of(key, text))
    for cohort, name in overrides.behaviours:
        _apply(source, ("cohorts", cohort, "behaviour"), name, f"behaviours={{{cohort!r}: {name}}}")


def _apply(source: Source, at: Location, value: object, option: str) -> None:
    """Set the value of an option, or keep the mistake in its place."""
    if (wrong := mistaken_place(at, source.data)) is not None:
        source.mistakes.append(source.document.mistake(at, f"{wrong}, from {option}"))
    else:
        source.set(at, value, option)


def _make_strict(data: object) -> None:
    """Make every threshold strict; the validation reports what is not a threshold."""
    if not isinstance(data, dict):
        return
    demands = data.get("thresholds") or [*DEFAULT_THRESHOLDS]
    if isinstance(demands, list):
        data["thresholds"] = [
            {**({"threshold": demand} if isinstance(demand, str) else demand), "strict": True}
            if isinstance(demand, str | dict)
            else demand
            for demand in demands
        ]


def _share_out(source: Source, devices: int) -> None:
    """Split a fleet of ``devices`` across the cohorts: by largest remainders, at least one each."""
    cohorts = source.data.get("cohorts") if isinstance(source.data, dict) else None
    if not isinstance(cohorts, dict):
        return
    option = f"--devices {devices}"
    counts = {n: c["devices"] for n, c in cohorts.items() if isinstance(c, dict) and _is_count(c.get("devices"))}
    if devices < len(cohorts):
        raise UsageError(f"{option}: must be at least {len(cohorts)}, one per cohort")
    if len(counts) != len(cohorts):
        return  # reported by the validation
    total = sum(counts.values())
    shares = {name: max(1, devices * count // total) for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: -(devices * counts[name] % total))
    while (missing := devices - sum(shares.values())) != 0:
        for name in by_remainder[: abs(missing)] if missing > 0 else sorted(shares, key=lambda n: -shares[n])[:1]:
            shares[name] += 1 if missing > 0 else -1
    for name, share in shares.items():
        source.set(("cohorts", name, "devices"), share, option)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
