"""The last section of a report: what was negotiated, who played the fleet, and the scenario as it was run."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from estsim.figures.text import ABSENT, count, milliseconds
from estsim.report.figures import RunReport
from estsim.report.html import plain, section, table

_MACHINE: Final = {"cpu": "CPU", "cores": "cores", "os": "operating system", "python": "Python", "openssl": "OpenSSL"}


def environment(report: RunReport) -> str:
    """Return what was negotiated, and the scenario as it was run."""
    rows = [("key exchange groups offered", report.facts.get("groups_offered", "").replace(",", ", ") or ABSENT)]
    rows += [(f"handshakes with TLS {name}", count(number)) for name, number in report.handshakes]
    rows += [("worker processes", report.facts.get("workers", "1"))]
    rows += [(f"clock of worker {name}", offset) for name, offset in _clock_offsets(report.facts)]
    # Not through `plain`, which would take the line ends for control characters.
    scenario = "\n".join(plain(line) for line in report.scenario.splitlines())
    return section(
        "Environment and scenario",
        "The scenario as run, including command-line overrides.",
        "<h3>Machine</h3>",
        table("machine", ("", ""), [*_machine(report)], texts=2),
        "<h3>TLS and processes</h3>",
        table("environment", ("", ""), rows, texts=2),
        "<h3>Scenario</h3>",
        f'<pre id="scenario">{scenario}</pre>',
    )


def _machine(report: RunReport) -> Iterator[tuple[str, str]]:
    """Yield what the generator ran on, as far as the run has said."""
    run = report.summary.run if report.summary else None
    try:
        said = json.loads(report.facts.get("machine", "{}"))
    except (ValueError, RecursionError):
        said = {}
    known = {**(run.machine if run else {}), **(said if isinstance(said, dict) else {})}
    for key, label in _MACHINE.items():
        told = known.get(key)
        openssl = run.openssl if run and key == "openssl" else ""
        yield label, (told if isinstance(told, str) else "") or openssl or ABSENT
    yield "estsim", report.facts.get("version", ABSENT)


def _clock_offsets(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield by how much the clocks of workers on other machines were behind, as far as that was measured."""
    try:
        found = json.loads(facts.get("clock_offsets", "{}"))
    except (ValueError, RecursionError):
        return
    for name, told in found.items() if isinstance(found, dict) else ():
        match told:
            case [int() | float() as offset_s, int() | float() as round_trip_s]:
                within = milliseconds(abs(round_trip_s) * 500)  # half the round trip: it cannot be further off
                yield str(name), f"{offset_s * 1000:+.1f} ms behind the master's, ±{within}"
