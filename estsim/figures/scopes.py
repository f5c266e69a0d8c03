"""The scopes of a run, live or stored: the whole of it, each cohort and each phase, of one book of tallies."""

from collections.abc import Mapping, Sequence

from estsim.figures.deferral import Scope, Scopes
from estsim.record.book import TallyBook
from estsim.record.phases import judged_s

States = Mapping[str, int]  # devices


def scopes_of(
    book: TallyBook,
    devices: Mapping[str, int],
    ended_ns: int,
    *,
    states: States,
    by_cohort: Mapping[str, States],
    events_s: Sequence[float],
) -> Scopes:
    """Return the scopes as they stand at ``ended_ns``; a warm-up is in its own scope only.

    ``devices`` are by cohort, ``events_s`` when something stirred the fleet.
    """
    fleet, events = sum(devices.values()), tuple(events_s)
    run = Scope(book.total(), fleet, ended_ns, states, book.blocks(), events, book.ends())
    cohorts = {
        name: Scope(
            book.cohort(name),
            count,
            ended_ns,
            by_cohort.get(name, {}),
            book.blocks([name]),
            events,
            book.ends([name]),
        )
        for name, count in devices.items()
    }
    phases = {
        phase.name: Scopes(
            Scope(book.phase(phase.name), fleet, ended_ns),
            {name: Scope(book.phase(phase.name, [name]), devices[name], ended_ns) for name in book.cohorts},
            lasted_s=phase.lasted_s(ended_ns),
        )
        for phase in book.phases
    }
    return Scopes(run, cohorts, phases, judged_s(book.phases, ended_ns))
