"""The notes of a forecast: its assumptions, and the parts of the plan that it leaves out."""

from collections.abc import Iterator

from estsim.fleet.notices import needs_approval
from estsim.load.choice import count_of
from estsim.scenario.happenings import Mark
from estsim.scenario.plan import Cohort, Scenario
from estsim.server.config import DEFAULT
from estsim.units import format_duration


def assumptions_of(scenario: Scenario, *, service_s: float) -> tuple[str, ...]:
    """Return the assumptions, each as a sentence."""
    takes = f"Each exchange takes {format_duration(service_s)}"
    if any(cohort.network is not None and cohort.network.rtt_s is not None for cohort in scenario.cohorts):
        takes += " plus the device's round trips"
    if scenario.sandbox is not None:
        takes += ", plus queueing where the sandbox queues requests"
    return (f"{takes}; every device is authorised, key generation takes no time, and nothing is late.",)


def left_out(scenario: Scenario) -> Iterator[str]:
    """Yield the parts of the plan that are left out, each as a sentence."""
    for cohort in scenario.cohorts:
        yield from _left_out_of(cohort)
    if scenario.expect:
        yield "Expected refusals are not simulated: all devices are authorised."
    if any(isinstance(event.what, Mark) and event.what.wait_for_enter for event in scenario.events):
        yield "Operator prompts are assumed to be confirmed at once."
    yield from _left_out_of_sandbox(scenario)


def _left_out_of(cohort: Cohort) -> Iterator[str]:
    refused = [share for fault, share in cohort.faults.items() if fault.to_be_refused]
    faulty = sum(count_of(share, cohort.devices) for share in refused)
    if faulty:
        yield f"{cohort.name}: {faulty} faulty devices are treated as sound."
    if cohort.skew_s is not None:
        yield f"{cohort.name}: all device clocks are assumed to be correct."
    network = cohort.network
    if network is not None and (network.stall or network.reset):
        yield f"{cohort.name}: network stalls and resets are not simulated."
    if network is not None and network.rate_bps is not None:
        yield f"{cohort.name}: the bit rate of its network is not simulated."


def _left_out_of_sandbox(scenario: Scenario) -> Iterator[str]:
    if scenario.sandbox is None:
        return
    center = scenario.sandbox.centers[scenario.sandbox_label or DEFAULT]
    if center.faults:
        yield f"The sandbox's faults ({', '.join(sorted({fault.kind for fault in center.faults}))}) are not simulated."
    if needs_approval(scenario):
        yield "No approvals are simulated: requests stay pending to the end."
