"""What devices are born with, as a sandbox sees it: a shared file, files of their own, certificates from before."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_files import DeviceMaker, acme, san_of
from engine_kit import ONCE, PATIENT, Server, cohort, renewing, sandbox, scenario, subject

from estsim.device.faults import DeviceFault
from estsim.device.policy import EnrollPolicy, Fetch, Policy, RenewPolicy
from estsim.engine.run import Run, RunOptions
from estsim.errors import UsageError
from estsim.est.certificate import read_certificate
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.figures.snapshot import Snapshot
from estsim.fleet.bootstrap import CredentialFolder, DeviceOrigin, OwnedIssuer, read_credential
from estsim.fleet.devices import cohort_run, spare_device
from estsim.pki.authority import Authority, Issuer, make_authority
from estsim.pki.keys import make_key
from estsim.pki.manufacturer import ManufacturerCA, export_authorities
from estsim.scenario.loader import load_scenario
from estsim.scenario.pem_files import CredentialFiles
from estsim.scenario.plan import Cohort, Files, KeyKind, Keys, NoBootstrap, Operational, Shared
from estsim.scenario.target_url import TargetUrl
from estsim.units import Constant, Uniform

DAY_S: Final = 86_400.0
MAKER: Final = ManufacturerCA.made("firmware")
RENEW_ONCE: Final = replace(renewing(after_s=0.05, times=1), enroll=ONCE.enroll)


def pem(name: x509.Name, maker: ManufacturerCA = MAKER) -> bytes:
    """Return a device's certificate and key as a PEM file has them."""
    key = make_key(KeyKind.EC_P256)
    made = x509.load_der_x509_certificate(maker.issue(key, name).certificate_der)
    return made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def trusting(folder: Path) -> dict[str, Any]:
    """Return the configuration of a sandbox that trusts the maker of the files."""
    path = folder / "maker.crt"
    path.write_bytes(MAKER.certificate_pem)
    return {"bootstrap_cas": [path]}


def issued(server: Server) -> list[tuple[str, bytes]]:
    """Return subject and key of every certificate that the sandbox has issued."""
    with closing(sqlite3.connect(server.here.database)) as log:
        return log.execute("SELECT subject, key_hash FROM issued").fetchall()


# -- bootstrap credentials in files


async def test_a_shared_key_is_replaced_at_the_first_enrolment(tmp_path: Path) -> None:
    """All show the one certificate, held once; then each is itself, with a key of its own."""
    path = tmp_path / "firmware.pem"
    path.write_bytes(pem(subject(99)))
    async with sandbox(tmp_path / "sandbox", clients=trusting(tmp_path)) as server:
        made = server.rig(cohort(3, RENEW_ONCE, bootstrap=Shared(path)))
        assert len({id(device.identity.bootstrap) for device in made.fleet.devices}) == 1
        await made.shard.run(until_settled=True)
        log = Counter(server.logged("operation, peer_subject, status"))
        certified = issued(server)
    assert log == {
        ("simpleenroll", "CN=meter-99", 200): 3,
        **{("simplereenroll", f"CN=meter-{device}", 200): 1 for device in range(3)},
    }
    assert Counter(name for name, _ in certified) == {f"CN=meter-{device}": 2 for device in range(3)}
    assert len({key for _, key in certified}) == 6


async def test_files_are_taken_in_the_order_of_their_names(tmp_path: Path) -> None:
    """One each, from the folder's PEM files; others in it are not looked at."""
    folder = tmp_path / "devices"
    folder.mkdir()
    for name, number in (("b.pem", 51), ("a.pem", 50), ("c.pem", 52)):
        (folder / name).write_bytes(pem(subject(number)))
    (folder / "README").write_text("no certificate")
    async with sandbox(tmp_path / "sandbox", clients=trusting(tmp_path)) as server:
        made = server.rig(cohort(2, bootstrap=Files(folder), first_device=0))
        await made.shard.run(until_settled=True)
        shown = dict(server.logged("serial, peer_subject"))
    assert {each.subject: shown[each.serial] for each in made.recorder.ended} == {
        "CN=meter-0": "CN=meter-50",
        "CN=meter-1": "CN=meter-51",
    }


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """The very file, and what was expected of it."""
    for number in range(2):
        (tmp_path / f"{number}.pem").write_bytes(pem(subject(number)))
    with pytest.raises(UsageError, match=r"must contain NAME\.pem, or NAME\.crt .* for each of 3 devices \(got 2 in"):
        CredentialFolder.folder(tmp_path, 3)
    with pytest.raises(UsageError, match=f"{tmp_path}/no: cannot be read"):
        CredentialFolder.folder(tmp_path / "no", 1)
    (tmp_path / "1.pem").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"1\.pem: expected certificates in PEM"):
        CredentialFolder.folder(tmp_path, 2).of(1)
    certificate, _, other = (tmp_path / "0.pem").read_bytes().partition(b"-----BEGIN PRIVATE")
    (tmp_path / "1.pem").write_bytes(certificate)
    with pytest.raises(UsageError, match=r"1\.pem: expected an unencrypted key in PEM"):
        CredentialFolder.folder(tmp_path, 2).of(1)
    (tmp_path / "1.pem").write_bytes(
        pem(subject(1)).partition(b"-----BEGIN PRIVATE")[0] + b"-----BEGIN PRIVATE" + other
    )
    with pytest.raises(UsageError, match=r"1\.pem: the key does not match the first certificate"):
        CredentialFolder.folder(tmp_path, 2).of(1)


def test_a_file_s_intermediates_are_sent_and_its_root_is_not(tmp_path: Path) -> None:
    """As in TLS; of a folder's files the same chain is kept once."""
    above = ManufacturerCA.made("above").issue(make_key(KeyKind.EC_P256), subject(7)).certificate_der
    chain = x509.load_der_x509_certificate(above).public_bytes(Encoding.PEM) + MAKER.certificate_pem
    for number in range(2):
        (tmp_path / f"{number}.pem").write_bytes(pem(subject(number)) + chain)
    assert read_credential(CredentialFiles.one(tmp_path / "0.pem")).chain == (above,)
    credential_files = CredentialFolder.folder(tmp_path, 2)
    assert credential_files.of(0).chain is credential_files.of(1).chain


def test_what_cannot_be_had_is_refused() -> None:
    """Nobody can expire a file; nobody but a sandbox mints; who is there from before does not come later."""
    with pytest.raises(UsageError, match=r"cohorts\.meters\.faults\.wrong_eku: requires bootstrap certificates"):
        _cradle(replace(cohort(bootstrap=NoBootstrap()), faults={DeviceFault.WRONG_EKU: 0.1}))
    with pytest.raises(UsageError, match=r"cohorts\.meters\.start: operational devices require a sandbox"):
        _cradle(replace(cohort(bootstrap=NoBootstrap()), start=Operational(Constant(0.5))))
    late = replace(cohort(bootstrap=NoBootstrap()), start=Operational(Constant(0.5)), joins=True)
    with pytest.raises(UsageError, match=r"cohorts\.meters\.start: devices that are operational from the start"):
        DeviceOrigin.build(late, None, OwnedIssuer(Issuer(authority(), 60.0), ()))


def authority() -> Authority:
    """Return a CA."""
    return make_authority("CA", KeyKind.EC_P256, now=datetime.now(UTC))


def _cradle(plan: Cohort) -> None:
    DeviceOrigin.build(plan, None, None)


def test_exported_authorities_are_certificates_alone(tmp_path: Path) -> None:
    """One PEM file each, for everybody to read, in a folder made for them."""
    export_authorities({"mfg-2026": MAKER}, tmp_path / "deep" / "down")
    (path,) = (tmp_path / "deep" / "down").iterdir()
    assert path.name == "mfg-2026.pem"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_bytes() == MAKER.certificate_pem
    with pytest.raises(UsageError, match="cannot be written"):
        export_authorities({"mfg-2026": MAKER}, path)


# -- in service from before


async def test_operational_devices_only_renew(tmp_path: Path) -> None:
    """The sandbox sees certificates of its own, with chain; nobody enrolls, nobody asks for the CA certificates.

    Due as if the renewal had been planned when it was issued: overdue ones at once, the others not yet.
    """
    policy = Policy(renew=RenewPolicy(at=0.5, times=1), deferral=PATIENT)
    old = replace(cohort(4, policy), start=Operational(Uniform(0.5, 0.9)))
    young = replace(cohort(3, policy, name="young", index=1, first_device=4), start=Operational(Constant(0.49999)))
    async with sandbox(tmp_path) as server:
        made = server.rig(old, young)
        assert made.fleet.boots == []
        assert made.shard.reading().states == {"operational": 7}
        await made.shard.run(until_settled=True)
        log = server.logged("operation, status, peer_subject, peer_serial, serial")
    owned = [device.identity for device in made.fleet.devices]
    assert sorted(line[:3] for line in log) == [("simplereenroll", 200, f"CN=meter-{device}") for device in range(7)]
    assert len({line[3] for line in log} | {line[4] for line in log}) == 14
    assert [each.goal for each in made.recorder.ended] == [Goal.RENEW] * 7
    assert all(each.end is EnrolmentEnd.ISSUED and each.number == 1 for each in made.recorder.ended)
    for each in made.recorder.ended:
        due_s = each.intended_ns / 1e9
        assert due_s == 0.0 if each.cohort == "meters" else due_s < 0.00001 * DAY_S
    assert all(identity.bootstrap and identity.issued and identity.issued.chain for identity in owned)


async def test_operational_devices_with_files_own_the_names_in_them(tmp_path: Path) -> None:
    """What the sandbox certified before the run is what they would have enrolled for."""
    maker = DeviceMaker.made(tmp_path)
    for number in range(2):
        maker.write(tmp_path / "pki" / f"{number}.crt", acme(f"SN-{number}"), san_of(f"SN-{number}"))
    plan = replace(cohort(2, bootstrap=Files(tmp_path / "pki")), start=Operational(Constant(0.1)))
    async with sandbox(tmp_path / "sandbox") as server:
        made = server.rig(replace(plan, subject=None, sans=None))
    for number, device in enumerate(made.fleet.devices):
        assert device.identity.issued is not None
        held = read_certificate(device.identity.issued.certificate_der)
        assert held.subject_der == acme(f"SN-{number}").public_bytes()
        assert held.san_der == san_of(f"SN-{number}").public_bytes()


def test_a_device_beyond_the_plan_has_a_file_of_the_plan_s(tmp_path: Path) -> None:
    """Locust may have more users than there are devices: no more files are there."""
    maker = DeviceMaker.made(tmp_path)
    for number in range(2):
        maker.write(tmp_path / "pki" / f"{number}.crt", acme(f"SN-{number}"))
    plan = replace(cohort(2, bootstrap=Files(tmp_path / "pki")), subject=None, sans=None)
    whole = scenario(plan)
    run = cohort_run(whole, plan, TargetUrl("est.example", 443), None, None)
    assert [spare_device([run], whole, number).requested_subject for number in (3, 6)] == [
        "CN=SN-1,O=Acme",
        "CN=SN-0,O=Acme",
    ]


async def test_ages_are_the_seed_s_and_notbefore_lies_back_by_them(tmp_path: Path) -> None:
    """A share of the validity; the same fleet each time."""
    plan = replace(cohort(20), start=Operational(Uniform(0.0, 1.0)))
    async with sandbox(tmp_path, issuer={"validity": "10h"}) as server:
        fleets = [server.rig(plan).fleet for _ in range(2)]
    now_s = datetime.now(UTC).timestamp()
    ages: list[list[float]] = []
    for fleet in fleets:
        ages.append([])
        for device in fleet.devices:
            assert device.identity.issued is not None
            held = x509.load_der_x509_certificate(device.identity.issued.certificate_der)
            begins, ends = held.not_valid_before_utc, held.not_valid_after_utc
            assert (ends - begins).total_seconds() == 36_000
            ages[-1].append((now_s - begins.timestamp()) / 36_000)
    assert ages[0] == pytest.approx(ages[1], abs=0.001)
    assert all(0.0 <= age <= 1.001 for age in ages[0])
    assert max(ages[0]) - min(ages[0]) > 0.5


async def test_one_whose_certificate_has_expired_enrolls_anew(tmp_path: Path) -> None:
    """With its bootstrap certificate, as the policy says."""
    plan = replace(cohort(1, RENEW_ONCE), start=Operational(Constant(1.0)))
    async with sandbox(tmp_path) as server:
        made = server.rig(plan)
        await made.shard.run(until_settled=True)
        log = server.logged("operation, status")
    assert log == [("simpleenroll", 200), ("simplereenroll", 200)]


async def test_a_run_mints_from_its_own_sandbox(tmp_path: Path) -> None:
    """The whole: keys prepared, certificates minted for the label's CA, authorities exported, nothing enrolled."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "version: 1\nname: t\nduration: 20s\nuntil: settled\n"
        "cohorts: {meters: {devices: 2, boot: {burst: 0s}, subject: 'CN=m-{index}'}}\n",
        encoding="utf-8",
    )
    plan = load_scenario(path)
    policy = Policy(renew=RenewPolicy(at=0.5, times=1), enroll=EnrollPolicy(cacerts=Fetch.NEVER))
    (meters,) = plan.cohorts
    meters = replace(meters, policy=policy, start=Operational(Constant(0.6)), keys=Keys(prepare=2))
    shown: list[Snapshot] = []
    options = RunOptions(tmp_path / "results", export_authorities=tmp_path / "exported")
    result = await Run(replace(plan, cohorts=(meters,)), options, shown.append).go()
    with closing(sqlite3.connect(result.folder / "sandbox.sqlite")) as log:
        lines = log.execute("SELECT operation, status, peer_subject FROM exchanges ORDER BY peer_subject").fetchall()
    assert lines == [("simplereenroll", 200, "CN=m-0"), ("simplereenroll", 200, "CN=m-1")]
    assert [path.name for path in (tmp_path / "exported").iterdir()] == ["sandbox-manufacturer.pem"]
