"""The two processes that ``locust_user_cost.py`` compares: Locust with users written by hand, and with ours."""

import base64
import json
import sys
import tempfile
import time
import types
from itertools import count
from pathlib import Path
from typing import Any, Final

import gevent
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
)
from cryptography.x509.oid import NameOID
from locust import HttpUser, User, task
from locust.env import Environment

_FOR_EVER_S: Final = 3600
_BORN: Final[list[tuple[str, str]]] = []  # certificate and key of each device, as files
_NUMBERS: Final = count()
_ISSUED: Final[list[x509.Certificate]] = []
_TRUST: Final[list[str]] = []


class ByHand(HttpUser):
    """Enrolls one device."""

    @task
    def enroll(self) -> None:
        """Make a key and a request, send it, read what came."""
        number = next(_NUMBERS)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meter-{number:06}")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        with self.client.post(
            "/simpleenroll",
            data=base64.b64encode(csr.public_bytes(Encoding.DER)),
            headers={"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"},
            cert=_BORN[number],
            verify=_TRUST[0],
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code} {response.text}")
            else:
                _ISSUED.extend(pkcs7.load_der_pkcs7_certificates(base64.b64decode(response.content)))
        self.client.close()
        gevent.sleep(_FOR_EVER_S)  # Locust would replace a user that ends


def owned_issuer(folder: Path, manufacturer: Path, devices: int) -> None:
    """Write each device's bootstrap certificate and key as files, as an engineer would beforehand."""
    issuer = x509.load_pem_x509_certificate(manufacturer.read_bytes())
    issuer_key = load_pem_private_key(manufacturer.read_bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    for number in range(devices):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meter-{number:06}")])
        builder = x509.CertificateBuilder(issuer.subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(issuer.not_valid_before_utc).not_valid_after(issuer.not_valid_after_utc)
        names = folder / f"{number}.crt", folder / f"{number}.key"
        names[0].write_bytes(builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        names[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _BORN.append((str(names[0]), str(names[1])))


def by_hand(sandbox: dict[str, Any], _scenario: Path, devices: int, rate: int) -> float:
    """Measure the users written by hand."""
    with tempfile.TemporaryDirectory() as folder:
        owned_issuer(Path(folder), Path(sandbox["manufacturer"]), devices)
        _TRUST.append(sandbox["trust"])
        ByHand.host = sandbox["url"]
        return measure(ByHand, devices, rate)


def ours(_sandbox: dict[str, Any], scenario: Path, devices: int, rate: int) -> float:
    """Measure ours, on the stage of the tests, which records as a run does."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "locust"))
    from locust_kit import Boards  # noqa: PLC0415

    from estsim.fleet.host import Host, factory_of  # noqa: PLC0415
    from estsim.fleet.trust import trust_file  # noqa: PLC0415
    from estsim.locust.user import EstDevice  # noqa: PLC0415
    from estsim.pki.manufacturer import ManufacturerCA  # noqa: PLC0415
    from estsim.scenario.loader import load_scenario  # noqa: PLC0415

    plan = load_scenario(scenario)
    assert plan.target is not None
    assert plan.target.ca is not None
    factories: dict[str | None, ManufacturerCA] = {name: factory_of(each) for name, each in plan.authorities.items()}
    boards = Boards(Host(plan, plan.target.url, trust_file(plan.target.ca), factories))
    boards.boots_s = lambda device: boards.clock.now_s()  # type: ignore[method-assign]  # noqa: ARG005
    play = types.ModuleType("estsim.locust.users.process_fleet")
    play.fleet_for = lambda _environment, _scenario: boards  # type: ignore[attr-defined]
    sys.modules["estsim.locust.users.process_fleet"] = play

    class Meter(EstDevice):
        """Any device."""

    return measure(Meter, devices, rate)


def measure(user: type[User], devices: int, rate: int) -> float:
    """Let as many users do their work at a rate; returns the CPU in ms for each, the first tenth left out."""
    environment = Environment(user_classes=[user], catch_exceptions=False)
    runner = environment.create_local_runner()
    runner.start(devices, spawn_rate=rate)
    entries = environment.stats  # its total is made anew when the test begins
    with gevent.Timeout(20 + 3 * devices / rate):
        while entries.total.num_requests < devices / 10:
            gevent.sleep(0.05)
        first, started = entries.total.num_requests, time.process_time()
        while entries.total.num_requests < devices:
            gevent.sleep(0.05)
    spent = time.process_time() - started
    runner.quit()
    if entries.total.num_failures:
        raise SystemExit("; ".join(str(error.error) for error in environment.stats.errors.values()))
    assert entries.total.num_requests == devices
    return spent * 1000 / (devices - first)


if __name__ == "__main__":
    which, announced, scenario, devices, rate = sys.argv[1:]
    measured = {"ours": ours, "by_hand": by_hand}[which]
    print(measured(json.loads(Path(announced).read_text()), Path(scenario), int(devices), int(rate)))
