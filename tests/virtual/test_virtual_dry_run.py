"""A dry run: the whole scenario in virtual time agrees with the oracle, with the plan, and with itself."""

from collections import Counter
from dataclasses import replace
from math import inf

import pytest
from dry_runs import HERD, METERS, STAYS, at, forecast, plan
from engine_kit import cohort, renewing
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_fleet import ServerModel, VirtualFleet

from estsim.device.faults import DeviceFault
from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.figures.forecast import Forecast
from estsim.load.arrivals import Burst, boot_times
from estsim.scenario.happenings import (
    CohortJoin,
    Mark,
    PowerCut,
    RenewNow,
    Retire,
    Touched,
    What,
)
from estsim.scenario.plan import (
    Network,
    Operational,
    Tls,
)
from estsim.server.capacity import Overflow
from estsim.units import Constant, Uniform
from estsim.virtual.counts import MOST_POINTS
from estsim.virtual.dry_run import SERVICE_S, DryRun


def herd_of_row_1(service_s: float, seed: int) -> Forecast:
    """Run the first row of docs/metrics.md's references as a scenario."""
    made = plan(
        cohort(1000, HERD, arrivals=Burst(0.5)),
        sandbox={
            "capacity": {"rate": "100/s", "burst": 10, "overflow": "defer_forget"},
            "issue": {"retry_after": {"seconds": 6}},
        },
        duration_s=600.0,
        seed=seed,
    )
    return DryRun(made, service_s=service_s).run()


def test_without_service_time_it_is_the_oracle() -> None:
    """The sandbox's own policy and the oracle's model of it are one server, to the last poll."""
    seed = 27
    server = ServerModel(100.0, 10, Overflow.DEFER_FORGET, 6.0)
    oracle = VirtualFleet(HERD, boot_times(Burst(0.5), 1000, seed=seed), server, seed=seed).run()
    made = herd_of_row_1(0.0, seed)
    assert (made.certificate_exchanges, made.polls, made.wasted_polls, made.certificates) == (
        oracle.exchanges,
        oracle.polls,
        oracle.wasted_polls,
        oracle.certificates,
    )
    assert made.drain_s == pytest.approx(oracle.drain_s)
    assert made.exchanges_per_certificate == pytest.approx(oracle.exchanges_per_certificate)


def test_the_first_reference_herd_drains_as_the_table_says() -> None:
    """120.5 s and 9.6 exchanges for each certificate, service time or not; the herd is in step."""
    made = herd_of_row_1(SERVICE_S, 27)
    assert made.drain_s == pytest.approx(120.5, rel=0.05)
    assert made.exchanges_per_certificate == pytest.approx(9.6, rel=0.05)
    assert made.period_s == 6
    assert made.synchronisation is not None
    assert made.synchronisation > 0.9
    assert (made.settled, made.ends, made.open_at_end) == (True, {"issued": 1000}, 0)


def test_an_exchange_takes_the_round_trips_of_its_network() -> None:
    """Three for a fresh TLS 1.3 connection; one on a connection that is kept."""
    far = replace(cohort(1, STAYS), network=Network(rtt_s=Constant(0.1)))
    assert forecast(far).drain_s == pytest.approx(2 * (SERVICE_S + 0.3))
    kept = replace(far, tls=Tls(keep_alive_s=5.0))
    assert forecast(kept).drain_s == pytest.approx(2 * SERVICE_S + 0.4)
    assert "round trips" in forecast(far).assumptions[0]


def test_stations_limit_the_devices_in_flight() -> None:
    """Eight stations at ten a second: a closed loop never has more than eight in flight, and takes what it takes."""
    line = replace(cohort(50, HERD), stations=8)
    made = forecast(line, sandbox={"capacity": {"rate": "10/s", "overflow": "wait"}})
    assert made.drain_s == pytest.approx(4.9, abs=0.2)
    (files,) = [need for need in made.needs if need.what == "open files"]
    assert files.needed == 8
    assert max(point.states.get("enrolling", 0) for point in made.fleet) <= 8


def test_a_cohort_joins_at_its_event() -> None:
    """Nobody of it is heard of before."""
    late = replace(cohort(10, HERD, name="late", index=1, first_device=5, arrivals=Burst(2.0)), joins=True)
    made = forecast(cohort(5, HERD), late, events=((10.0, CohortJoin("late")),))
    first = made.load.first["simpleenroll"]
    assert sum(count for second, count in first.items() if second < 10) == 5
    assert sum(first.values()) == 15
    assert all(second in (0, 10, 11) for second in first)


def test_a_cohort_that_is_never_called_stays_off() -> None:
    """And no drain is claimed for it."""
    made = forecast(replace(cohort(10, HERD), joins=True))
    assert (made.load.exchanges, made.drain_s, dict(made.fleet[-1].states)) == (0, None, {"off": 10})


def test_devices_in_service_renew_by_their_age() -> None:
    """Of ages from 0 to 60 % a renewal at 66 % is due within the last 66 % of a lifetime, and nobody enrolls."""
    owners = replace(cohort(100, renewing(at=0.66, times=1)), start=Operational(Uniform(0.0, 0.6)))
    made = forecast(owners, sandbox={"issuer": {"validity": "100s"}}, duration_s=100.0)
    assert set(made.load.first) == {"simplereenroll"}
    assert sum(made.load.first["simplereenroll"].values()) == 100
    assert min(made.load.first["simplereenroll"]) >= 6
    assert max(made.load.first["simplereenroll"]) <= 66
    assert at(made, 0.0) == {"operational": 100}
    assert made.drain_s is None


def test_devices_without_power_send_nothing_and_return_as_planned() -> None:
    """Forty of a hundred go dark at 10 s for 20 s, and return within 5 s; the others renew meanwhile."""
    policy = renewing(at=0.5, times=1)
    city = replace(
        cohort(100, replace(policy, boot=replace(policy.boot, cacerts=True))), start=Operational(Constant(0.0))
    )
    made = forecast(
        city,
        sandbox={"issuer": {"validity": "200s"}},
        events=((10.0, PowerCut(Touched(("meters",), 0.4), Constant(20.0), Burst(5.0))),),
        until_settled=False,
    )
    assert made.load.per_second() == made.load.first["cacerts"]
    seconds = made.load.first["cacerts"]
    assert sum(seconds.values()) == 40
    assert min(seconds) >= 30
    assert max(seconds) < 35
    assert at(made, 20.0) == {"off": 40, "operational": 60}
    assert at(made, 40.0) == {"operational": 100}
    assert made.events == ((10.0, "power cut: 40% of meters"),)


def test_an_exchange_that_a_cut_overtakes_is_abandoned() -> None:
    """It was sent, and nothing came of it; the device enrolls again when the power is back."""
    made = forecast(
        cohort(10, HERD),
        sandbox={"capacity": {"rate": "1/s", "overflow": "wait"}},
        events=((3.5, PowerCut(METERS, Constant(1.0))),),
    )
    assert made.outcomes["abandoned"] == 6
    assert made.ends == {"issued": 10, "cut": 6}


def test_orders_to_renew_and_to_retire() -> None:
    """Everybody renews within the time, and half of them leave."""
    made = forecast(
        cohort(40, STAYS),
        events=((5.0, RenewNow(METERS, 10.0)), (30.0, Retire(Touched(("meters",), 0.5)))),
    )
    assert set(made.load.first["simplereenroll"]) <= set(range(5, 16))
    assert sum(made.load.first["simplereenroll"].values()) == 40
    assert made.fleet[-1].states == {"operational": 20, "retired": 20}


def test_it_does_not_settle_before_the_last_event() -> None:
    """A mark is planned too; without `until: settled` the end is the duration."""
    assert forecast(cohort(1), events=((30.0, Mark("calm")),)).ended_s == 30.0
    assert forecast(cohort(1), until_settled=False).ended_s == 60.0
    beyond = forecast(cohort(1), events=((90.0, Mark("never")),))
    assert (beyond.ended_s, beyond.settled) == (60.0, False)


def test_the_notes_list_what_is_left_out() -> None:
    """Faults, skew, a bad network, an operator: each has its sentence."""
    odd = replace(
        cohort(100),
        faults={DeviceFault.GARBAGE_BODY: 0.1},
        skew_s=Constant(5.0),
        network=Network(rate_bps=64e3, reset=0.1),
    )
    notes = "\n".join(
        forecast(odd, sandbox={"faults": [{"kind": "reset"}]}, events=((1.0, Mark("go", wait_for_enter=True)),)).notes
    )
    for words in (
        "10 faulty devices",
        "clocks",
        "resets are not simulated",
        "bit rate",
        "(reset) are not simulated",
        "Operator prompts",
    ):
        assert words in notes
    assert forecast(cohort(1)).notes == ()


def test_impatient_devices_poll_as_fast_as_they_are_answered() -> None:
    """An impatient one polls as fast as it is answered; there is nothing to refuse, and nothing is left out."""
    hasty = replace(cohort(10, HERD), faults={DeviceFault.IMPATIENT: 0.1})
    slow = {"issue": {"mode": "deferred", "delay": "10s", "retry_after": {"seconds": 10}}}
    made = forecast(hasty, sandbox=slow)
    assert made.polls == pytest.approx(9 + 10 / SERVICE_S, abs=2)
    assert made.notes == ()


def test_a_run_of_too_many_steps_is_stopped_and_says_so() -> None:
    """So that no plan runs for ever."""
    made = DryRun(plan(cohort(100, STAYS)), most_steps=50).run()
    assert made.steps == 50
    assert "stopped" in made.notes[-1]


_CAPACITY = st.fixed_dictionaries(
    {
        "rate": st.sampled_from(["1/s", "20/s"]),
        "burst": st.integers(1, 5),
        "overflow": st.sampled_from([overflow.value for overflow in Overflow]),
    },
    optional={"queue": st.integers(0, 5)},
)
_POLICY = st.builds(
    lambda cacerts, attempts, obedience, deadline_s, polls, times, age: Policy(
        enroll=EnrollPolicy(cacerts=cacerts, deadline_s=deadline_s),
        renew=RenewPolicy(at=age, times=times),
        deferral=DeferralPolicy(obedience=obedience, max_polls=polls),
        retry=RetryPolicy(attempts=attempts),
    ),
    st.sampled_from(Fetch),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    st.sampled_from([5.0, inf]),
    st.integers(0, 40),
    st.sampled_from([0, 2, None]),
    st.sampled_from([0.2, 0.9]),
)
_EVENTS = st.lists(
    st.tuples(
        st.floats(0, 50),
        st.one_of(
            st.builds(
                PowerCut,
                st.just(METERS),
                st.just(Uniform(0.5, 9.0)),
                st.just(Burst(3.0)),
                st.booleans(),
                st.booleans(),
            ),
            st.builds(RenewNow, st.builds(Touched, st.just(("meters",)), st.floats(0, 1)), st.floats(0, 20)),
            st.builds(Retire, st.builds(Touched, st.just(("meters",)), st.floats(0, 0.5)), st.floats(0, 5)),
        ),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(
    devices=st.integers(1, 25),
    policy=_POLICY,
    capacity=st.none() | _CAPACITY,
    events=_EVENTS,
    stations=st.sampled_from([None, 3]),
    start=st.sampled_from(["off", "owners", "joins"]),
    seed=st.integers(0, 99),
)
def test_every_plan_ends_and_its_counts_balance(
    *,
    devices: int,
    policy: Policy,
    capacity: dict[str, object] | None,
    events: list[tuple[float, What]],
    stations: int | None,
    start: str,
    seed: int,
) -> None:
    """Devices are the sum of the states at any point; what is sent is answered, cut or in flight; twice is the same."""
    meters = replace(
        cohort(devices, policy, arrivals=Burst(5.0)),
        stations=None if start == "owners" else stations,
        start=Operational(Uniform(0.0, 0.99)) if start == "owners" else None,
        joins=start == "joins",
    )
    joining: list[tuple[float, What]] = [(7.0, CohortJoin("meters"))] if start == "joins" else []
    made = plan(
        meters,
        sandbox={"capacity": capacity, "issuer": {"validity": "30s"}},
        events=tuple(sorted([*events, *joining], key=lambda event: event[0])),
        seed=seed,
    )
    run = DryRun(made, most_steps=100_000)
    result = run.run()
    assert result.steps < 100_000
    assert result.ended_s <= made.duration_s
    assert len(result.fleet) <= MOST_POINTS
    assert {sum(point.states.values()) for point in result.fleet} == {devices}
    in_flight = sum(device.in_flight is not None for device in run._devices.values())
    assert result.load.exchanges == sum(result.outcomes.values()) + in_flight
    assert 0 <= result.open_at_end <= devices
    assert result.certificates >= result.ends.get("issued", 0)
    assert Counter(device.machine.state.value for device in run._devices.values()) == Counter(result.fleet[-1].states)
    again = DryRun(made, most_steps=100_000).run()
    assert replace(again, needs=result.needs) == result  # what the machine has free may differ
