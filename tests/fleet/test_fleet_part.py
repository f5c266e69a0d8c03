"""Parts of a fleet: together the whole, none twice, for any number of processes."""

from itertools import islice
from pathlib import Path

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from estsim.device.policy import Policy
from estsim.fleet.part import Part, cohort_of
from estsim.load.arrivals import Burst
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Cohort, KeyKind, NoBootstrap, Tls


def _cohort(name: str, first: int, devices: int, stations: int | None = None) -> Cohort:
    return Cohort(
        name=name, index=0, devices=devices, first_device=first, subject=lambda _: x509.Name([]), sans=lambda _: None,
        key=KeyKind.EC_P256, bootstrap=NoBootstrap(), tls=Tls(), arrivals=Burst(1.0), policy=Policy(),
        stations=stations,
    )  # fmt: skip


@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 5))
def test_parts_are_the_fleet_and_no_device_is_in_two(of: int, devices: int, stations: int) -> None:
    """Devices, stations and prepared keys add up, whatever is shared among how many."""
    parts = [Part(slot, of) for slot in range(of)]
    for cohort in (_cohort("north", 0, devices), _cohort("line", devices, devices + 3, stations)):
        numbers = range(cohort.first_device, cohort.first_device + cohort.devices)
        assert all(sum(part.has(number, cohort) for part in parts) == 1 for number in numbers)
        assert sum(part.devices(cohort) for part in parts) == cohort.devices
        assert sum(part.stations(cohort) for part in parts) == (cohort.stations or 0)
        assert all(part.stations(cohort) or not part.devices(cohort) for part in parts if cohort.stations)
    assert sum(part.share(17) for part in parts) == 17


def test_who_comes_late_plays_devices_beyond_the_fleet() -> None:
    """Of any two late slots no number is the same, none is the plan's, and each belongs to a cohort."""
    scenario = load_scenario(found(Path("bad-devices")))
    seen = [[*islice(Part(slot, 2).extras(scenario), 3 * scenario.devices)] for slot in (2, 3, 9)]
    numbers = [number for each in seen for number in each]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= scenario.devices
    assert cohort_of(scenario, numbers[0]) is scenario.cohorts[0]
    assert cohort_of(scenario, scenario.devices - 1) is scenario.cohorts[-1]
    for cohort in scenario.cohorts:
        assert not Part(2, 2).devices(cohort)
