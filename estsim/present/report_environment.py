"""The last section of a report: what was negotiated, who played the fleet, and the scenario as it was run."""

import json
from collections.abc import Iterator, Mapping

from estsim.measure.report_figures import RunReport
from estsim.present.figures import ABSENT, count, milliseconds
from estsim.present.reading import block, text
from estsim.present.report_html import plain, section, table


def environment(report: RunReport) -> str:
    """Return what was negotiated, and the scenario as it was run."""
    run = block(report.summary or {}, "run")
    rows = [("key exchange groups offered", report.facts.get("groups_offered", "").replace(",", ", ") or ABSENT)]
    rows += [("OpenSSL of the generator", text(run, "openssl"))] if text(run, "openssl") else []
    rows += [(f"handshakes with TLS {name}", count(number)) for name, number in report.handshakes]
    rows += [("worker processes", report.facts.get("workers", "1"))]
    rows += [(f"clock of worker {name}", offset) for name, offset in _clock_offsets(report.facts)]
    # Not through `plain`, which would take the line ends for control characters.
    scenario = "\n".join(plain(line) for line in report.scenario.splitlines())
    return section(
        "Environment and scenario",
        "The scenario as it was run, with all that was set on the command line.",
        table("environment", ("", ""), rows, texts=2),
        f'<pre id="scenario">{scenario}</pre>',
    )


def _clock_offsets(facts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield by how much the clocks of workers on other machines were behind, as far as that was measured."""
    try:
        found = json.loads(facts.get("clock_offsets", "{}"))
    except ValueError:
        return
    for name, told in found.items() if isinstance(found, dict) else ():
        match told:
            case [int() | float() as offset_s, int() | float() as round_trip_s]:
                within = milliseconds(abs(round_trip_s) * 500)  # half the round trip: it cannot be further off
                yield str(name), f"{offset_s * 1000:+.1f} ms behind the master's, within {within}"
