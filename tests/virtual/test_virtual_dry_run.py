"""A dry run: the whole scenario in virtual time agrees with the oracle, with the plan, and with itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import inf

import pytest
from engine_kit import PATIENT, closed_port, cohort, renewing, scenario
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_fleet import ServerModel, VirtualFleet

from estsim.device.faults import DeviceFault
from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.figures.forecast import Forecast, busiest
from estsim.fleet.limits import BOOTS_PER_CORE_PER_S
from estsim.load.arrivals import Burst, Even, boot_times
from estsim.scenario.happenings import (
    CohortJoin,
    Happening,
    Mark,
    PowerCut,
    RenewNow,
    Retire,
    SandboxChange,
    Touched,
    What,
)
from estsim.scenario.plan import (
    Close,
    Cohort,
    HttpAuth,
    Network,
    NoBootstrap,
    Operational,
    Scenario,
    Target,
    Timeouts,
    Tls,
)
from estsim.server.capacity import Overflow
from estsim.server.config import SandboxConfig
from estsim.units import Constant, Uniform
from estsim.virtual.buckets import Buckets
from estsim.virtual.counts import MOST_POINTS
from estsim.virtual.dry_run import SERVICE_S, DryRun

_METERS = Touched(("meters",))
_HERD = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=RenewPolicy(times=0), deferral=PATIENT)
_STAYS = Policy(renew=None, deferral=PATIENT)


def plan(
    *cohorts: Cohort,
    sandbox: Mapping[str, object] | None = None,
    events: tuple[tuple[float, What], ...] = (),
    **keys: object,
) -> Scenario:
    """Return a scenario against a sandbox."""
    happenings = tuple(Happening(at_s, what) for at_s, what in events)
    config = SandboxConfig.model_validate(sandbox or {})
    return replace(scenario(*cohorts), sandbox=config, events=happenings, **keys)  # type: ignore[arg-type]


def forecast(*cohorts: Cohort, **keys: object) -> Forecast:
    """Run a scenario dry."""
    return DryRun(plan(*cohorts, **keys)).run()  # type: ignore[arg-type]  # a shorthand


def at(made: Forecast, at_s: float) -> Mapping[str, int]:
    """Return the fleet's states at a moment."""
    return next(point.states for point in made.fleet if point.at_s >= at_s)


def herd_of_row_1(service_s: float, seed: int) -> Forecast:
    """Run the first row of docs/metrics.md's references as a scenario."""
    made = plan(
        cohort(1000, _HERD, arrivals=Burst(0.5)),
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
    oracle = VirtualFleet(_HERD, boot_times(Burst(0.5), 1000, seed=seed), server, seed=seed).run()
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


def test_a_sandbox_that_queues_answers_at_the_slots() -> None:
    """Ten requests at once, two a second: the last is answered after four and a half seconds, and none polls."""
    made = forecast(cohort(10, _HERD), sandbox={"capacity": {"rate": "2/s", "overflow": "wait"}})
    assert made.drain_s == pytest.approx(4.5)
    assert (made.polls, made.certificate_exchanges) == (0, 10)


def test_an_exchange_that_waits_too_long_times_out() -> None:
    """One a second, three seconds of patience: what comes later is lost, and tried again."""
    once = replace(_HERD, retry=RetryPolicy(attempts=1))
    made = forecast(
        cohort(10, once),
        sandbox={"capacity": {"rate": "1/s", "overflow": "wait"}},
        timeouts=Timeouts(answer_s=3.0),
    )
    assert made.outcomes == {"ok": 4, "failed": 6}
    assert made.ends == {"issued": 4, "exhausted": 6}


def test_a_sandbox_that_refuses_is_backed_off_from() -> None:
    """503 with Retry-After: a backoff, no poll."""
    made = forecast(
        cohort(20, replace(_HERD, retry=RetryPolicy(attempts=50))),
        sandbox={"capacity": {"rate": "10/s", "queue": 0, "overflow": "refuse"}},
    )
    assert made.certificates == 20
    assert made.outcomes["overloaded"] > 10
    assert made.polls == 0


def test_requests_that_a_person_must_approve_stay_pending() -> None:
    """Nobody is there in a dry run; it says so."""
    made = forecast(cohort(3, _HERD), sandbox={"issue": {"mode": "manual"}}, duration_s=20.0)
    assert (made.certificates, made.open_at_end, made.drain_s) == (0, 3, None)
    assert made.settled is False
    assert any("No approvals are simulated" in note for note in made.notes)


def test_an_early_repeat_is_punished_as_configured() -> None:
    """A device that ignores the told wait meets the sandbox's 403."""
    hasty = replace(_HERD, deferral=DeferralPolicy(obedience=0.0))
    made = forecast(
        cohort(1, hasty), sandbox={"issue": {"mode": "deferred", "early": "forbid", "retry_after": {"seconds": 9}}}
    )
    assert made.outcomes == {"deferred": 1, "rejected": 1}


def test_an_unknown_server_is_assumed_to_be_ideal() -> None:
    """Nothing is known of it, and it says so; renewals follow an assumed day."""
    target = Target(closed_port())
    made = DryRun(
        replace(scenario(cohort(5, renewing(at=0.5, times=1))), sandbox=None, target=target, duration_s=86_400.0)
    ).run()
    assert made.certificates == 10
    assert made.ended_s == pytest.approx(43_200.0, abs=1.0)
    assert "ideal" in made.server
    assert "24h" in made.server or "1d" in made.server


def test_a_sandbox_changes_in_the_middle_of_it() -> None:
    """From ten a second to one: the second half takes its time. A change that cannot be is told."""
    text = "capacity: {rate: 10/s, overflow: wait}\n"
    made = forecast(
        cohort(40, _HERD, arrivals=Even(10.0)),
        sandbox={"capacity": {"rate": "10/s", "overflow": "wait"}},
        sandbox_text=text,
        events=((2.0, SandboxChange({"capacity.rate": "1/s"})), (3.0, SandboxChange({"capacity.rate": "fast"}))),
    )
    assert made.drain_s == pytest.approx(22.0, abs=1.1)
    assert [note for note in made.notes if "not included" in note and "3s" in note]


def test_an_exchange_takes_the_round_trips_of_its_network() -> None:
    """Three for a fresh TLS 1.3 connection; one on a connection that is kept."""
    far = replace(cohort(1, _STAYS), network=Network(rtt_s=Constant(0.1)))
    assert forecast(far).drain_s == pytest.approx(2 * (SERVICE_S + 0.3))
    kept = replace(far, tls=Tls(keep_alive_s=5.0))
    assert forecast(kept).drain_s == pytest.approx(2 * SERVICE_S + 0.4)
    assert "round trips" in forecast(far).assumptions[0]


def test_a_challenge_is_a_request_more() -> None:
    """Basic that is not preemptive: the 401 counts, and takes its time; cacerts needs no password."""
    asked = replace(cohort(1, _STAYS), bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret"))
    made = forecast(asked)
    assert made.outcomes == {"ok": 2, "challenged": 1}
    assert made.certificate_exchanges == 2
    assert forecast(replace(asked, http_auth=HttpAuth("alice", "secret", preemptive=True))).certificate_exchanges == 1


def test_a_poll_that_is_challenged_is_one_poll() -> None:
    """Two requests of one poll: what is said of polls does not hang on how a device shows who it is."""
    asking = replace(cohort(10, _HERD), bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret"))
    knowing = replace(asking, http_auth=HttpAuth("alice", "secret", preemptive=True))
    served = {"issue": {"mode": "deferred", "delay": "5s", "retry_after": {"seconds": 3}}}
    asked, known = (forecast(each, sandbox=served, duration_s=60.0) for each in (asking, knowing))
    assert (asked.polls, asked.wasted_polls) == (known.polls, known.wasted_polls) == (20, 10)
    assert asked.certificate_exchanges == 2 * known.certificate_exchanges == 60


def test_stations_limit_the_devices_in_flight() -> None:
    """Eight stations at ten a second: a closed loop never has more than eight in flight, and takes what it takes."""
    line = replace(cohort(50, _HERD), stations=8)
    made = forecast(line, sandbox={"capacity": {"rate": "10/s", "overflow": "wait"}})
    assert made.drain_s == pytest.approx(4.9, abs=0.2)
    (files,) = [need for need in made.needs if need.what == "open files"]
    assert files.needed == 8
    assert max(point.states.get("enrolling", 0) for point in made.fleet) <= 8


def test_a_cohort_joins_at_its_event() -> None:
    """Nobody of it is heard of before."""
    late = replace(cohort(10, _HERD, name="late", index=1, first_device=5, arrivals=Burst(2.0)), joins=True)
    made = forecast(cohort(5, _HERD), late, events=((10.0, CohortJoin("late")),))
    first = made.load.first["simpleenroll"]
    assert sum(count for second, count in first.items() if second < 10) == 5
    assert sum(first.values()) == 15
    assert all(second in (0, 10, 11) for second in first)


def test_a_cohort_that_is_never_called_stays_off() -> None:
    """And no drain is claimed for it."""
    made = forecast(replace(cohort(10, _HERD), joins=True))
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
        cohort(10, _HERD),
        sandbox={"capacity": {"rate": "1/s", "overflow": "wait"}},
        events=((3.5, PowerCut(_METERS, Constant(1.0))),),
    )
    assert made.outcomes["abandoned"] == 6
    assert made.ends == {"issued": 10, "cut": 6}


def test_orders_to_renew_and_to_retire() -> None:
    """Everybody renews within the time, and half of them leave."""
    made = forecast(
        cohort(40, _STAYS),
        events=((5.0, RenewNow(_METERS, 10.0)), (30.0, Retire(Touched(("meters",), 0.5)))),
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
    hasty = replace(cohort(10, _HERD), faults={DeviceFault.IMPATIENT: 0.1})
    slow = {"issue": {"mode": "deferred", "delay": "10s", "retry_after": {"seconds": 10}}}
    made = forecast(hasty, sandbox=slow)
    assert made.polls == pytest.approx(9 + 10 / SERVICE_S, abs=2)
    assert made.notes == ()


def test_a_run_of_too_many_steps_is_stopped_and_says_so() -> None:
    """So that no plan runs for ever."""
    made = DryRun(plan(cohort(100, _STAYS)), most_steps=50).run()
    assert made.steps == 50
    assert "stopped" in made.notes[-1]


def test_the_needs_follow_the_plan() -> None:
    """Processor from the busiest ten seconds, ports from connections, memory from devices."""
    made = forecast(cohort(1000, _STAYS, arrivals=Even(100.0)))
    needs = {need.what: need for need in made.needs}
    assert needs["processor"].needed == pytest.approx(100 / BOOTS_PER_CORE_PER_S, rel=0.01)
    assert needs["local ports"].needed == pytest.approx(200, abs=3)  # two connections each; loopback: for a second
    assert all(need.is_met for need in made.needs)
    much = forecast(cohort(6_000, _HERD))
    assert [need.what for need in much.needs if not need.is_met][:1] == ["processor"]


def test_connections_that_are_reset_leave_no_port_behind() -> None:
    """Only those open at once need one."""
    made = forecast(replace(cohort(100, _HERD, arrivals=Even(10.0)), tls=Tls(close=Close.RST)))
    (ports,) = [need for need in made.needs if need.what == "local ports"]
    assert ports.needed == 1


def test_the_busiest_stretch() -> None:
    """The first window with the most, from a second that has some."""
    assert busiest({}, 10) == (0, 0)
    assert busiest({3: 1, 12: 5, 13: 5, 40: 10}, 10) == (12, 10)


@given(st.dictionaries(st.integers(0, 60), st.integers(1, 9)), st.integers(1, 20))
def test_the_busiest_window_is_that_of_the_slow_way(counts: dict[int, int], window_s: int) -> None:
    """Each window is summed up anew."""
    sums = {begin: sum(counts.get(begin + i, 0) for i in range(window_s)) for begin in range(61)}
    begins, most = busiest(counts, window_s)
    assert most == max(sums.values())
    assert sums[begins] == most


@given(st.lists(st.floats(0, 20), max_size=60))
def test_buckets_pop_in_order_of_time_then_of_insertion(times: list[float]) -> None:
    """Also what is pushed while they are emptied, for the moment that has been reached."""
    buckets: Buckets[int, None] = Buckets()
    for number, at_s in enumerate(times):
        buckets.push(at_s, number, None, 0)
    popped = []
    while (entry := buckets.pop()) is not None:
        popped.append((entry[0], entry[2]))
        if entry[2] < len(times):
            buckets.push(entry[0], entry[2] + len(times), None, 0)
    assert [at_s for at_s, _ in popped] == sorted(times * 2)
    assert [who for _, who in popped if who < len(times)] == sorted(range(len(times)), key=lambda who: times[who])


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
                st.just(_METERS),
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
