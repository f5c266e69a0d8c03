"""What devices are born with: bootstrap credentials, certificates that they own already, and what is wrong with them.

A cohort's devices get their bootstrap certificate from a manufacturer (:mod:`estsim.pki.manufacturer`), share the one
of a PEM file, or find one each in a folder. Where the sandbox is ours, its issuing CA's key is too: devices that are
operational as the run begins own a certificate that the sandbox takes for its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from estsim.device.faults import DeviceFault
from estsim.errors import UnitError, UsageError
from estsim.est.signing import PrivateKey
from estsim.fleet.keys import KeyRing
from estsim.fleet.part import WHOLE, Part
from estsim.load.choice import parted
from estsim.load.streams import Purpose, uniform
from estsim.net.openssl import can_read
from estsim.pki.authority import Issuer
from estsim.pki.credentials import StoredCredential
from estsim.pki.extensions import SERVER_AUTH
from estsim.pki.keys import belongs, dump_key, make_key, spki_of
from estsim.pki.manufacturer import ManufacturerCA
from estsim.pki.names import Names
from estsim.pki.pem import certificates_in_pem, read_pem
from estsim.scenario.pem_files import CredentialFiles, credentials_in
from estsim.scenario.plan import Cohort, Files, Keys, Scenario, Shared
from estsim.server.config import DEFAULT
from estsim.server.pki import read_authorities
from estsim.units import Distribution


def read_credential(files: CredentialFiles) -> StoredCredential:
    """Read a device's certificate, its key and what is sent with it from PEM files; raises UsageError.

    The first certificate is the device's; roots among the others stay at home, as in TLS.
    """
    path = files.cert
    certificates = read_pem(path, certificates_in_pem, "certificates")
    key = read_pem(files.key, partial(load_pem_private_key, password=None), "an unencrypted key")
    if not isinstance(key, PrivateKey):
        raise UsageError(f"{files.key}: expected an EC, RSA or Ed25519 key (got {type(key).__name__})")
    leaf, *others = certificates
    if not read_pem(path, lambda _: belongs(key, leaf), "a key that can be read"):
        other = "" if files.key == path else f" in {path}"
        raise UsageError(f"{files.key}: the key does not match the first certificate{other}")
    if not can_read(leaf.der):
        raise UsageError(f"{path}: the first certificate ({leaf.subject}) cannot be read by OpenSSL")
    above = tuple(other.der for other in others if not other.is_self_issued)
    return StoredCredential(leaf.der, dump_key(key), above)


@dataclass(slots=True)
class CredentialFolder:
    """Bootstrap credentials in PEM files: one for all devices, or one each, read as the device is born."""

    _shared: StoredCredential | None = None
    _files: tuple[CredentialFiles, ...] = ()
    _chains: dict[tuple[bytes, ...], tuple[bytes, ...]] = field(default_factory=dict)

    @classmethod
    def shared(cls, path: Path, key: Path | None = None) -> "CredentialFolder":
        """Read the one of all devices; raises UsageError."""
        return cls(read_credential(CredentialFiles(path, key or path)))

    @classmethod
    def folder(cls, path: Path, devices: int) -> "CredentialFolder":
        """Find one for each device, in the order of names; raises UsageError where there are too few."""
        try:
            return cls(_files=credentials_in(path, devices))
        except UnitError as error:
            raise UsageError(f"{path}: {error}") from error

    def of(self, number: int) -> StoredCredential:
        """Return that of the cohort's nth device, from 0; raises UsageError for a file that cannot be used."""
        if self._shared is not None:
            return self._shared
        read = read_credential(self._files[number % len(self._files)])  # one beyond the plan shows another's again
        chain = self._chains.setdefault(read.chain, read.chain)  # a fleet has few, and keeps each once
        return StoredCredential(read.certificate_der, read.key_der, chain)

    def file_of(self, number: int) -> Path | None:
        """Return where the certificate of the cohort's nth device is, from 0; None where it has no file of its own."""
        return self._files[number % len(self._files)].cert if self._files else None


@dataclass(frozen=True, slots=True)
class OwnedIssuer:
    """The sandbox's issuing CA in our hands; ``chain`` is what is sent beside its certificates."""

    issuer: Issuer
    chain: tuple[bytes, ...]

    @classmethod
    def of(cls, pki: Path, scenario: Scenario) -> "OwnedIssuer":
        """Take the CA of the trust center that the fleet goes to, from the folder of its PKI."""
        if scenario.sandbox is None:
            raise UsageError(
                "devices can be operational from the start only where the sandbox issues their certificates"
            )
        center = scenario.sandbox.centers[scenario.sandbox_label or DEFAULT]
        authorities = read_authorities(pki)
        above = tuple(each.certificate.der for each in reversed(authorities[1:]))
        return cls(Issuer(authorities[-1], center.issuer.validity), above)

    def owned(self, names: Names, key: PrivateKey, *, age: float, wall_now_s: float) -> "OwnedCertificate":
        """Issue what a device got when ``age`` of the validity ago it enrolled."""
        issued_s = wall_now_s - age * self.issuer.validity_s
        certificate = self.issuer.issue(spki_of(key), names, issued_s)
        stored = StoredCredential(certificate.der, dump_key(key), self.chain)
        return OwnedCertificate(stored, certificate.not_before_s, certificate.not_after_s)


@dataclass(frozen=True, slots=True)
class OwnedCertificate:
    """A certificate that a device has from before the run, and its validity in UNIX seconds."""

    credential: StoredCredential
    wall_begins_s: float
    wall_ends_s: float


@dataclass(frozen=True, slots=True)
class DeviceOrigin:
    """Where a cohort's devices come from: one of ``factory`` and ``papers``, or neither.

    ``mint`` is there where they start operational.
    """

    plan: Cohort
    keys: KeyRing
    factory: ManufacturerCA | None = None
    credential_files: CredentialFolder | None = None
    owned_issuer: OwnedIssuer | None = None

    @classmethod
    def build(
        cls, plan: Cohort, factory: ManufacturerCA | None, owned_issuer: OwnedIssuer | None, part: Part = WHOLE
    ) -> "DeviceOrigin":
        """Put it together; raises UsageError for files that cannot be used and faults that cannot be had."""
        bootstrap = plan.bootstrap
        credential_files = None
        if isinstance(bootstrap, Shared):
            credential_files = (
                CredentialFolder.shared(bootstrap.path, bootstrap.key) if bootstrap.path else _firmware(plan, factory)
            )
            factory = None
        elif isinstance(bootstrap, Files):
            credential_files = CredentialFolder.folder(bootstrap.path, plan.devices)
        inborn = sorted(fault.value for fault in plan.faults if fault.is_inborn)
        if inborn and factory is None:
            raise UsageError(
                f"cohorts.{plan.name}.faults.{inborn[0]}: requires bootstrap certificates that estsim issues "
                "(bootstrap: {kind: manufacturer})"
            )
        if plan.start is not None and owned_issuer is None:
            raise UsageError(
                f"cohorts.{plan.name}.start: operational devices require a sandbox, which issues their certificates"
            )
        if plan.start is not None and plan.joins:
            raise UsageError(
                f"cohorts.{plan.name}.start: devices that are operational from the start cannot join later"
            )
        births = part.devices(plan) * ((factory is not None) + (owned_issuer is not None))
        return cls(
            plan, KeyRing(plan.key, _share_of(plan.keys, part), births=births), factory, credential_files, owned_issuer
        )

    def bootstrap(self, device: int, fault: DeviceFault | None) -> StoredCredential | None:
        """Return what a device speaks as at first, with its fault."""
        if self.factory is not None and self.plan.subject is not None:  # only files have names of their own
            return _born_of(self.factory, self.keys.born(), self.plan.subject(device), fault)
        return self.credential_files.of(device - self.plan.first_device) if self.credential_files is not None else None

    def file_of(self, device: int) -> Path | None:
        """Return the file of a device's own certificate; None where it has none."""
        return None if self.credential_files is None else self.credential_files.file_of(device - self.plan.first_device)

    def owned(
        self, device: int, bootstrap: StoredCredential | None, *, seed: int, wall_now_s: float
    ) -> OwnedCertificate | None:
        """Return what a device owns as the run begins, of an age of its own; None where it starts off."""
        start = self.plan.start
        if start is None or self.owned_issuer is None:
            return None
        age = start.age.at(uniform(seed, device, Purpose.AGE, 0))
        names = Names(*self.plan.requested.of(device, bootstrap))
        return self.owned_issuer.owned(names, self.keys.born(), age=age, wall_now_s=wall_now_s)


def _share_of(keys: Keys, part: Part) -> Keys:
    """Return how many keys are this part's to prepare, or go round in it."""
    reuse = None if keys.reuse is None else max(1, part.share(keys.reuse))
    return Keys(prepare=part.share(keys.prepare), reuse=reuse)


def _born_of(
    factory: ManufacturerCA, key: PrivateKey, subject: x509.Name, fault: DeviceFault | None
) -> StoredCredential:
    """Return the certificate that a device leaves the factory with, or one with an inborn fault."""
    match fault:
        case DeviceFault.UNKNOWN_CA:
            return factory.stranger.issue(key, subject)
        case DeviceFault.WRONG_EKU:
            return factory.issue(key, subject, purpose=SERVER_AUTH)
        case _:
            return factory.issue(key, subject, expired=fault is DeviceFault.EXPIRED_BOOTSTRAP)


def _firmware(plan: Cohort, factory: ManufacturerCA | None) -> CredentialFolder:
    """Mint the one certificate of a product line."""
    if factory is None:
        raise UsageError(
            f"cohorts.{plan.name}.bootstrap: a shared key requires a path, or an authority that issues its certificate"
        )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{plan.name} firmware")])
    return CredentialFolder(factory.issue(make_key(plan.key), name))


def faults_of(plan: Cohort, *, seed: int) -> Mapping[int, DeviceFault]:
    """Return which devices of a cohort have which fault: exact counts, chosen by seed, one fault at most."""
    if not plan.faults:
        return {}
    faults = sorted(plan.faults)
    shares = [plan.faults[fault] for fault in faults]
    parts = parted(shares, plan.first_device, plan.devices, seed=seed, purpose=Purpose.FAULT)
    return {device: fault for fault, part in zip(faults, parts, strict=True) for device in part}


def ahead_s(device: int, *, skew: Distribution, seed: int) -> float:
    """Return by how many seconds a device's clock is ahead, always the same."""
    return skew.at(uniform(seed, device, Purpose.CLOCK, 0))
