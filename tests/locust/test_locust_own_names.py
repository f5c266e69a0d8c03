"""Devices with certificates of their own enroll for the names in them, with every driver, over real TLS."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from device_files import DeviceMaker, acme, san_of
from drivers import DRIVERS, played_by
from locust_kit import serving

SERIALS = ("SN-0001", "SN-0002")
Names = tuple[bytes, bytes | None]  # Subject and SubjectAltName, as encoded


def _names(certificate: x509.Certificate) -> Names:
    found = [each for each in certificate.extensions if each.oid == x509.SubjectAlternativeName.oid]
    return certificate.subject.public_bytes(), found[0].value.public_bytes() if found else None


def _scenario(**cohort: str | list[str]) -> str:
    devices = {
        "devices": len(SERIALS),
        "bootstrap": {"kind": "files", "path": "pki"},
        "boot": {"at_once": True},
        "enroll": {"names": "require"},
        "renew": {"after": "100ms", "times": 1},
    }
    plan: dict[str, Any] = {"version": 1, "duration": "20s", "until": "settled", "cohorts": {"devs": devices | cohort}}
    return json.dumps(plan | {"sandbox": {"clients": {"bootstrap_cas": ["maker.crt"]}}})


def _delivered(folder: Path) -> list[Names]:
    """Write the devices' files; returns the names in them."""
    maker = DeviceMaker.made(folder)
    return [_names(maker.write(folder / "pki" / f"{each}.crt", acme(each), san_of(each))) for each in SERIALS]


async def _certified(driver: str, folder: Path, text: str) -> list[Names]:
    """Return the names in all certificates that the server issued to a fleet, first enrolments first."""
    async with serving(text, folder) as place:
        story = (await played_by(driver, place)).story
        assert [row[2] for rows in story.values() for row in rows] == ["ok"] * 6
        with closing(sqlite3.connect(folder / "sandbox" / "sandbox.sqlite")) as store:
            rows = store.execute("SELECT certificate FROM issued ORDER BY rowid").fetchall()
    return [_names(x509.load_der_x509_certificate(der)) for (der,) in rows]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_devices_enroll_for_the_names_in_their_own_certificates(driver: str, tmp_path: Path) -> None:
    """Subject and SubjectAltName byte for byte, at the enrolment and at the renewal."""
    delivered = _delivered(tmp_path)
    assert sorted(await _certified(driver, tmp_path, _scenario())) == sorted(delivered * 2)


async def test_a_subject_in_the_scenario_counts(tmp_path: Path) -> None:
    """The alternative name of another Subject is not asked for then."""
    _delivered(tmp_path)
    asked = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"d-{number}")]) for number in range(2)]
    certified = await _certified("trio", tmp_path, _scenario(subject="CN=d-{index}"))
    assert sorted(certified, key=str) == sorted([(name.public_bytes(), None) for name in asked] * 2, key=str)


async def test_alternative_names_alone_in_the_scenario_leave_the_subject(tmp_path: Path) -> None:
    """Each device keeps the Subject of its certificate."""
    delivered = _delivered(tmp_path)
    certified = await _certified("trio", tmp_path, _scenario(sans=["dns:d.example"]))
    san = x509.SubjectAlternativeName([x509.DNSName("d.example")]).public_bytes()
    assert sorted(certified) == sorted([(subject, san) for subject, _ in delivered] * 2)
