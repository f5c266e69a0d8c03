"""Devices' own certificates that a server will hardly take: one warning for each cohort, with counts and a file."""

import re
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from device_files import DAY_S, DeviceMaker, acme, san_of

from estsim.scenario import credential_doubts
from estsim.scenario.loader import load_scenario

NOBODY: Final = x509.Name([])


@pytest.fixture(name="maker")
def _maker(tmp_path: Path) -> DeviceMaker:
    return DeviceMaker.made(tmp_path)


def _told(folder: Path, devices: int, *, cohort: str = "", top: str = "") -> list[str]:
    """Return the warnings of a scenario with devices in a folder, dates left out."""
    path = folder / "fleet.yaml"
    path.write_text(
        "version: 1\nduration: 1h\ncohorts:\n"
        f"  a: {{devices: {devices}, boot: {{burst: 1s}}, bootstrap: {{kind: files, path: pki}}{cohort}}}\n{top}",
        encoding="utf-8",
    )
    warnings = load_scenario(path).warnings
    assert all((each.path, each.line) == ("cohorts.a.bootstrap.path", 4) for each in warnings)
    messages = [each.message.replace(f"{folder}/", "") for each in warnings]
    return [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE", message) for message in messages]


def test_nothing_is_said_of_certificates_as_they_should_be(tmp_path: Path, maker: DeviceMaker) -> None:
    """Valid throughout the run, each with a name of its own, be it a SubjectAltName alone."""
    maker.write(tmp_path / "pki" / "a.crt", acme("SN-1"))
    for serial in ("SN-2", "SN-3"):
        maker.write(tmp_path / "pki" / f"{serial}.crt", NOBODY, san_of(serial))
    assert _told(tmp_path, 3) == []


def test_what_is_wrong_of_a_cohort_is_one_warning(tmp_path: Path, maker: DeviceMaker) -> None:
    """Each with its count, the first file and its date."""
    pki = tmp_path / "pki"
    maker.write(pki / "a.crt", acme("SN-1"), ends_s=-60)
    maker.write(pki / "b.crt", acme("SN-2"), ends_s=-DAY_S / 2)
    maker.write(pki / "c.crt", acme("SN-2"), begins_s=3600)
    maker.write(pki / "d.crt", acme("SN-4"), ends_s=1800)
    maker.write(pki / "e.crt", acme("SN-5"), is_ca=True)
    (told,) = _told(tmp_path, 5)
    assert told == (
        "of 5 certificates, 2 have expired (first pki/a.crt, on DATE); 1 is not valid yet (pki/c.crt, from DATE); "
        "1 expires before the end of the run (pki/d.crt, on DATE); 1 is a CA certificate (pki/e.crt); "
        "2 have the same Subject as another (first pki/b.crt, CN=SN-2,O=Acme)"
    )


@pytest.mark.parametrize(
    ("cohort", "told"),
    [
        ("", ["of 2 certificates, 2 have the same Subject as another (first pki/a.crt, CN=SN-1,O=Acme)"]),
        (", subject: 'CN=d-{index}'", []),
        (", sans: ['dns:d-{index}.example']", ["of 2 certificates, 2 have the same Subject as another"]),
    ],
)
def test_one_subject_counts_where_devices_enroll_for_it(
    tmp_path: Path, maker: DeviceMaker, cohort: str, told: list[str]
) -> None:
    """A subject of the scenario's is another matter, and has a warning of its own."""
    for name in "ab":
        maker.write(tmp_path / "pki" / f"{name}.crt", acme("SN-1"))
    found = _told(tmp_path, 2, cohort=cohort)
    assert [message.startswith(begin) for message, begin in zip(found, told, strict=True)] == [True] * len(told)


@pytest.mark.parametrize("outcome", ["rejected", "unauthorized", "failed"])
def test_expected_refusals_are_no_surprise(tmp_path: Path, maker: DeviceMaker, outcome: str) -> None:
    """Of a cohort that the scenario expects to be refused, no certificate is wrong; of others it is."""
    maker.write(tmp_path / "pki" / "a.crt", acme("SN-1"), ends_s=-60)
    assert _told(tmp_path, 1, top=f"expect: [{{cohorts: [a], outcomes: [{outcome}]}}]\n") == []
    other = "  b: {devices: 1, boot: {burst: 1s}}\n"
    top = f"{other}expect: [{{cohorts: [b], outcomes: [{outcome}]}}]\n"
    assert _told(tmp_path, 1, top=top) == ["of 1 certificate, 1 has expired (pki/a.crt, on DATE)"]


def test_of_many_the_first_are_looked_at(tmp_path: Path, maker: DeviceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for mistakes in them; how many these are is said."""
    monkeypatch.setattr(credential_doubts, "MOST_LOOKED_AT", 2)
    for name in "abc":
        maker.write(tmp_path / "pki" / f"{name}.crt", acme(f"SN-{name}"), ends_s=-60)
    assert _told(tmp_path, 3) == ["of the first 2 certificates, 2 have expired (first pki/a.crt, on DATE)"]
