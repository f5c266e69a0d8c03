"""Faulty devices against a sandbox: exact counts, refused in its log and expected in our rows, a finding if not."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from engine_kit import ONCE, Rig, Server, cohort, renewing, sandbox, until

from estsim.device.faults import DeviceFault
from estsim.device.policy import EnrollPolicy, Fetch, Policy, RetryPolicy
from estsim.device.states import State
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.plan import Cohort, Expectation, NoBootstrap

INBORN: Final = (DeviceFault.EXPIRED_BOOTSTRAP, DeviceFault.UNKNOWN_CA, DeviceFault.WRONG_EKU)
AT_APPLICATION: Final[dict[str, Any]] = {"clients": {"refuse_at": "application"}}
MS: Final = 1_000_000


def with_faults(plan: Cohort, *faults: DeviceFault, share: float = 0.25) -> Cohort:
    """Return a cohort of which a share has each of some faults."""
    return replace(plan, faults=dict.fromkeys(faults, share))


def sick(made: Rig) -> dict[int, DeviceFault]:
    """Return the faulty devices of a fleet."""
    return {device.index: device.cohort.fault for device in made.fleet.devices if device.cohort.fault}


def lines(server: Server, columns: str) -> set[tuple[Any, ...]]:
    """Return columns of what the sandbox has refused."""
    return {row[:-1] for row in server.logged(f"{columns}, status") if row[-1] is None or row[-1] >= 400}


async def test_inborn_faults_are_refused_with_a_reason_each(tmp_path: Path) -> None:
    """In the sandbox's log: the very devices that have them, and no other; all of them certificate faults."""
    async with sandbox(tmp_path, **AT_APPLICATION) as server:
        made = server.rig(with_faults(cohort(12), *INBORN))
        await made.shard.run(until_settled=True)
        refused = lines(server, "peer_subject, detail")
    faulty = sick(made)
    assert Counter(faulty.values()) == dict.fromkeys(INBORN, 3)
    assert {subject for subject, _ in refused} == {f"CN=meter-{device}" for device in faulty}
    reasons = {faulty[int(subject.removeprefix("CN=meter-"))]: reason for subject, reason in refused}
    assert "expired" in reasons[DeviceFault.EXPIRED_BOOTSTRAP]
    assert "issuer" in reasons[DeviceFault.UNKNOWN_CA]
    assert "purpose" in reasons[DeviceFault.WRONG_EKU]
    assert {sample.device: sample.expected for sample in made.recorder.samples} == {
        device: device in faulty for device in range(12)
    }
    assert {each.device for each in made.recorder.ended if each.expected} == set(faulty)
    assert {each.end for each in made.recorder.ended if each.expected} == {EnrolmentEnd.REFUSED}
    assert made.recorder.findings == []


async def test_a_handshake_refuses_them_by_alert(tmp_path: Path) -> None:
    """Retried as the policy says; what ends it was expected, each exchange and the search."""
    policy = Policy(renew=None, retry=RetryPolicy(attempts=2, base_s=0.01))
    async with sandbox(tmp_path, clients={"require_certificate": "always"}) as server:
        made = server.rig(with_faults(cohort(8, policy), *INBORN))
        await made.shard.run(until_settled=True)
        served = {subject for (subject,) in server.logged("peer_subject")}
        assert server.here.counts.failed_handshakes == 12
    faulty = sick(made)
    assert served == {f"CN=meter-{device}" for device in range(8) if device not in faulty}
    failed = [sample for sample in made.recorder.samples if sample.kind is OutcomeClass.FAILED]
    assert len(failed) == 12
    assert all(sample.expected and sample.device in faulty for sample in failed)
    words = {"expired": DeviceFault.EXPIRED_BOOTSTRAP, "unknown": DeviceFault.UNKNOWN_CA}
    for sample in failed:
        said = next((fault for word, fault in words.items() if word in sample.detail), DeviceFault.WRONG_EKU)
        assert said is faulty[sample.device]
    ends = {each.device: (each.end, each.expected) for each in made.recorder.ended if each.device in faulty}
    assert set(ends.values()) == {(EnrolmentEnd.EXHAUSTED, True)}


async def test_a_faulty_device_that_is_refused_to_the_end_is_not_unfinished(tmp_path: Path) -> None:
    """It tries on when the run ends: the shares are of the sound devices, which have their certificates."""
    policy = Policy(renew=None, retry=RetryPolicy(attempts=1000, base_s=0.01, cap_s=0.01))
    async with sandbox(tmp_path, clients={"require_certificate": "always"}) as server:
        made = server.rig(with_faults(cohort(8, policy), *INBORN))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: len(made.recorder.ended) == 2 and len(made.recorder.samples) > 50)
            made.shard.stop()
    scope = made.recorder.scope(60 * 1000 * MS)
    share = scope.within("enrolled_within", 30.0)
    assert scope.tally.enrolment_tally.open == 6
    assert (scope.failures, scope.unfinished, share and (share.low, share.high, share.samples)) == (0, 0, (1, 1, 2))


async def test_bad_requests_are_refused_for_what_they_are(tmp_path: Path) -> None:
    """A signature that does not verify, garbage, far too much: 400, 400, 413 in the sandbox's log."""
    faults = (DeviceFault.BAD_CSR_SIGNATURE, DeviceFault.GARBAGE_BODY, DeviceFault.OVERSIZED_BODY)
    async with sandbox(tmp_path) as server:
        made = server.rig(with_faults(cohort(8), *faults))
        await made.shard.run(until_settled=True)
        refused = lines(server, "peer_subject, status, detail")
        issued = {subject for subject, status in server.logged("peer_subject, status") if status == 200}
    faulty = sick(made)
    told = {faulty[int(subject.removeprefix("CN=meter-"))]: (status, detail) for subject, status, detail in refused}
    assert {fault: status for fault, (status, _) in told.items()} == dict(zip(faults, (400, 400, 413), strict=True))
    assert "proof of possession" in told[DeviceFault.BAD_CSR_SIGNATURE][1]
    assert "base64" in told[DeviceFault.GARBAGE_BODY][1]
    assert "body" in told[DeviceFault.OVERSIZED_BODY][1]
    assert len(refused) == len(faulty) == 6
    assert issued == {f"CN=meter-{device}" for device in range(8) if device not in faulty}
    assert {sample.device for sample in made.recorder.samples if sample.expected} == set(faulty)
    assert made.recorder.findings == []


async def test_another_subject_on_renewal_is_refused_there_and_nowhere_else(tmp_path: Path) -> None:
    """The first enrolment is sound; the device goes on with its certificate and tries again as its policy says."""
    policy = replace(renewing(after_s=0.05, times=1, retry_every=0.5), enroll=ONCE.enroll)
    async with sandbox(tmp_path, issuer={"validity": "24h"}) as server:
        made = server.rig(with_faults(cohort(4, policy), DeviceFault.WRONG_SUBJECT_ON_RENEW, share=0.5))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: len(made.recorder.ended) == 8)
            made.shard.stop()
        log = server.logged("operation, status, peer_subject, detail")
    faulty = set(sick(made))
    assert len(faulty) == 2
    assert Counter(operation for operation, status, *_ in log if status == 200) == {
        "simpleenroll": 4,
        "simplereenroll": 2,
    }
    refused = [line for line in log if line[1] == 403]
    assert {line[2] for line in refused} == {f"CN=meter-{device}" for device in faulty}
    assert all(line[0] == "simplereenroll" and "expected the Subject" in line[3] for line in refused)
    ends = {(each.device in faulty, each.goal, each.end, each.expected) for each in made.recorder.ended}
    assert ends == {
        (False, Goal.ENROLL, EnrolmentEnd.ISSUED, False),
        (False, Goal.RENEW, EnrolmentEnd.ISSUED, False),
        (True, Goal.ENROLL, EnrolmentEnd.ISSUED, False),
        (True, Goal.RENEW, EnrolmentEnd.REFUSED, True),
    }
    assert {device.machine.state for device in made.fleet.devices} == {State.OPERATIONAL}


async def test_an_acceptance_is_a_finding(tmp_path: Path) -> None:
    """A server that trusts the stranger: a certificate each, told with its serial, as in the server's log."""
    maker = ManufacturerCA.made("careless")
    folder = tmp_path / "trusted.pem"
    folder.write_bytes(maker.certificate_pem + maker.stranger.certificate_pem)
    async with sandbox(tmp_path / "sandbox", clients={"bootstrap_cas": [folder]}) as server:
        made = server.rig(with_faults(cohort(4), DeviceFault.UNKNOWN_CA), factory=maker)
        await made.shard.run(until_settled=True)
        serials = dict(server.logged("peer_subject, serial"))
    (device,) = sick(made)
    who, serial = f"device {device} of meters (CN=meter-{device})", serials[f"CN=meter-{device}"]
    has = "has a bootstrap certificate from an unknown manufacturer"
    assert made.recorder.findings == [f"{who} {has} and was issued certificate serial {serial}"]
    assert not any(sample.expected for sample in made.recorder.samples)
    assert not any(each.expected for each in made.recorder.ended)


async def test_firmware_that_retries_at_once_comes_again_and_again(tmp_path: Path) -> None:
    """The sandbox sees it, refused each time; its sound sister is refused once. Neither is any finding."""
    async with sandbox(tmp_path) as server:
        plan = with_faults(cohort(2, ONCE, bootstrap=NoBootstrap()), DeviceFault.RETRIES_AT_ONCE, share=0.5)
        made = server.rig(plan)
        (restless,) = sick(made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: len(made.recorder.samples) > 20)
            made.shard.stop()
        seen = Counter(identifier for (identifier,) in server.logged("request_id"))
    calls = Counter(sample.device for sample in made.recorder.samples)
    assert (calls[1 - restless], calls[restless]) == (1, len(made.recorder.samples) - 1)
    assert seen == Counter(sample.request_id for sample in made.recorder.samples)
    assert {sample.status for sample in made.recorder.samples} == {403}
    assert not any(sample.expected for sample in made.recorder.samples)
    stamps = sorted(sample.stamps.started_ns for sample in made.recorder.samples if sample.device == restless)
    assert min(later - earlier for earlier, later in pairwise(stamps)) >= MS


async def test_an_impatient_device_is_early_and_the_others_are_not(tmp_path: Path) -> None:
    """The sandbox's log marks its polls; all get their certificate."""
    issue = {"mode": "deferred", "delay": "200ms", "retry_after": {"seconds": 1}}
    async with sandbox(tmp_path, issue=issue) as server:
        made = server.rig(with_faults(cohort(4), DeviceFault.IMPATIENT))
        await made.shard.run(until_settled=True)
        early = Counter(subject for subject, early in server.logged("peer_subject, early") if early)
    (impatient,) = sick(made)
    assert set(early) == {f"CN=meter-{impatient}"}
    assert early[f"CN=meter-{impatient}"] > 2
    assert [each.end for each in made.recorder.ended] == [EnrolmentEnd.ISSUED] * 4


async def test_faults_are_exact_counts_and_the_seed_s(tmp_path: Path) -> None:
    """One fault a device; another cohort of the same shares has others; nobody is faulty without being asked."""
    async with sandbox(tmp_path) as server:
        north = with_faults(cohort(40), *DeviceFault, share=0.1)
        south = replace(north, name="south", index=1, first_device=40)
        fleets = [sick(server.rig(north, south)) for _ in range(2)]
        sound = server.rig(replace(north, faults={}))
    assert fleets[0] == fleets[1]
    for first in (0, 40):
        counts = Counter(fault for device, fault in fleets[0].items() if first <= device < first + 40)
        assert counts == dict.fromkeys(DeviceFault, 4)
    assert {device for device in fleets[0] if device < 40} != {device - 40 for device in fleets[0] if device >= 40}
    assert sick(sound) == {}


@pytest.mark.parametrize(("to_s", "expected"), [(60.0, True), (0.0, False)])
async def test_announced_refusals_are_expected(tmp_path: Path, to_s: float, *, expected: bool) -> None:
    """Of the cohorts, in the time and with the outcome that the scenario says."""
    announced = Expectation(frozenset({"meters"}), frozenset({"rejected"}), to_s=to_s)
    policy = replace(ONCE, enroll=EnrollPolicy(cacerts=Fetch.ONCE))
    async with sandbox(tmp_path) as server:
        nobodies = cohort(1, policy, bootstrap=NoBootstrap())
        made = server.rig(nobodies, replace(nobodies, name="others", index=1, first_device=1), expect=(announced,))
        await made.shard.run(until_settled=True)
    found = {(sample.cohort, sample.operation): sample.expected for sample in made.recorder.samples}
    assert found == {
        ("meters", Operation.CACERTS): False,
        ("meters", Operation.SIMPLEENROLL): expected,
        ("others", Operation.CACERTS): False,
        ("others", Operation.SIMPLEENROLL): False,
    }
    assert {each.cohort: each.expected for each in made.recorder.ended} == {"meters": expected, "others": False}
