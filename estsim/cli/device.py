"""``estsim device``: one device's story, found by its number or its name."""

import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography import x509
from cryptography.x509.oid import NameOID
from rich.console import Console

from estsim.cli.complaints import output
from estsim.errors import EstsimError, ScenarioError, UnitError, UsageError
from estsim.measure.reading import enrolments_of, exchanges_of, open_run, subjects_with
from estsim.measure.store import RunReader
from estsim.present.ink import Line, Page
from estsim.present.story import About, story
from estsim.scenario.document import plain_copy, read_document
from estsim.scenario.mistakes import suggestion
from estsim.scenario.parts import readable_parts
from estsim.scenario.subjects import SubjectTemplate, compile_subject
from estsim.units import shown

_USAGE: Final = 2
_NUMBER: Final = re.compile("[0-9]{1,18}")  # an INTEGER of SQLite
_WIDEST: Final = 100
_LOOKED_AT: Final = 20_000  # names to find the nearest among: half a second
_LISTED: Final = 5


def device(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its run.sqlite.", show_default=False)],
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="The device's number, its CN or its whole subject.", show_default=False),
    ],
) -> None:
    r"""Tell one device's story: every exchange, the waits between them and why, and the certificates it got.

    Times are those of the run's clock, each exchange at the moment it was meant to start. Below it are its
    phases. The run may be finished, interrupted, killed or under way.

    \b
    Examples:
      estsim device results/RUN 17
      estsim device results/RUN meter-000017
      estsim device results/RUN "CN=meter-000017,O=Example" | less
    """
    try:
        with open_run(run) as reader:
            told = _told(reader, name)
    except EstsimError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_USAGE) from error
    with output():
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a locale may lack what a name has
        Console(highlight=False).print(Page(told), soft_wrap=True)


def _told(reader: RunReader, name: str) -> list[Line]:
    fleet = _fleet_of(reader.path.parent)
    number = _found(reader, fleet, name)
    exchanges, enrolments = exchanges_of(reader, number), enrolments_of(reader, number)
    member = next((cohort for cohort in fleet if number in cohort.devices), None)
    cohorts = [each.cohort for each in enrolments] or [each.cohort for each in exchanges]
    subject = next((each.subject for each in enrolments if each.subject), None)
    about = About(
        device=number,
        cohort=member.name if member else next(iter(cohorts), None),
        subject=subject or (member.subject(number).rfc4514_string() if member else None),
        facts=reader.facts(),
    )
    return story(about, exchanges, enrolments, min(Console().width, _WIDEST))


# -- which device is meant


@dataclass(frozen=True, slots=True)
class _Cohort:
    """A cohort as far as names are concerned."""

    name: str
    devices: range
    subject: SubjectTemplate


def _fleet_of(folder: Path) -> list[_Cohort]:
    """Return the cohorts of the scenario beside the store, none where it cannot be read.

    Only names are read: the other files that a scenario needs may be gone.
    """
    try:
        data = plain_copy(read_document(folder / "scenario.yaml").root.value)
        parts = readable_parts(data if isinstance(data, dict) else {}, folder)
        fleet: list[_Cohort] = []
        first = 0
        for name, cohort in parts.cohorts.items():
            subject = compile_subject(cohort.subject, cohort=name, seed=parts.seed)
            fleet.append(_Cohort(name, range(first, first + cohort.devices), subject))
            first += cohort.devices
    except (ScenarioError, UnitError):
        return []
    return fleet


def _found(reader: RunReader, fleet: list[_Cohort], name: str) -> int:
    """Return the number of the device that is meant. Raises UsageError where there is none, or more than one."""
    if not name.strip():
        raise UsageError("NAME: expected a device's number, its CN or its subject (got nothing)")
    if _NUMBER.fullmatch(name) and _is_there(reader, fleet, int(name)):
        return int(name)
    for wanted in _readings(name):
        devices = _recorded_as(reader, wanted) or _planned_as(fleet, wanted)
        if len(devices) > 1:
            some = ", ".join(map(str, devices[:_LISTED])) + (", …" if len(devices) > _LISTED else "")
            raise UsageError(f"{shown(name)}: expected one device, that fits several: numbers {some}")
        if devices:
            return devices[0]
    raise UsageError(f"{shown(name)}: there is no such device{_hint(reader, fleet, name)}")


def _is_there(reader: RunReader, fleet: list[_Cohort], number: int) -> bool:
    if fleet:
        return number < fleet[-1].devices.stop
    return bool(enrolments_of(reader, number) or exchanges_of(reader, number))


def _readings(name: str) -> Iterator[frozenset[str]]:
    """Yield what a name may mean, as the parts that a Subject must have: a common name, or parts of it in any order."""
    try:
        yield _parts(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        if "=" in name:
            yield _parts(x509.Name.from_rfc4514_string(name))
    except ValueError:  # no name at all
        return


def _parts(subject: x509.Name) -> frozenset[str]:
    return frozenset(rdn.rfc4514_string() for rdn in subject.rdns)


def _recorded_as(reader: RunReader, wanted: frozenset[str]) -> list[int]:
    """Return the devices that got a certificate with all of the parts."""
    part = max(wanted, key=len)
    return sorted({number for number, subject in subjects_with(reader, part) if wanted <= _recorded_parts(subject)})


def _recorded_parts(subject: str) -> frozenset[str]:
    try:
        return _parts(x509.Name.from_rfc4514_string(subject))
    except ValueError:
        return frozenset({subject})


def _planned_as(fleet: list[_Cohort], wanted: frozenset[str]) -> list[int]:
    """Return the devices that the scenario gives all of the parts."""
    return [number for cohort in fleet for number in cohort.devices if wanted <= _parts(cohort.subject(number))]


def _hint(reader: RunReader, fleet: list[_Cohort], name: str) -> str:
    """Return the nearest name, or the numbers there are; of names equally near, the one with the number in the name."""
    if fleet and _NUMBER.fullmatch(name):
        return f" (they are numbered from 0 to {fleet[-1].devices.stop - 1})"
    numbers = {int(digits) for digits in re.findall(_NUMBER, name)}
    near = {cohort.subject(number) for cohort in fleet for number in numbers if number in cohort.devices}
    return suggestion(name, _spellings(near, name)) or suggestion(name, _spellings(_first_names(reader, fleet), name))


def _first_names(reader: RunReader, fleet: list[_Cohort]) -> Iterator[x509.Name]:
    """Yield names to find the nearest among: the first of the fleet, or where it is not known, of those recorded."""
    if fleet:
        planned = (cohort.subject(number) for cohort in fleet for number in cohort.devices)
        yield from islice(planned, _LOOKED_AT)
        return
    for _, subject in islice(subjects_with(reader, ""), _LOOKED_AT):
        with suppress(ValueError):
            yield x509.Name.from_rfc4514_string(subject)


def _spellings(subjects: Iterable[x509.Name], name: str) -> Iterator[str]:
    """Yield names in the ways that the one looked for may be meant: a common name, or a subject in either order."""
    for subject in subjects:
        if "=" in name:
            yield subject.rfc4514_string()
            yield ",".join(rdn.rfc4514_string() for rdn in subject.rdns)
        else:
            yield from (str(common.value) for common in subject.get_attributes_for_oid(NameOID.COMMON_NAME))
