"""What devices are born with: bootstrap credentials, certificates that they own already, and what is wrong with them.

A cohort's devices get their bootstrap certificate from a manufacturer (:mod:`estsim.fleet.factory`), share the one of
a PEM file, or find one each in a folder. Where the sandbox is ours, its issuing CA's key is too: devices that are
operational as the run begins own a certificate that the sandbox takes for its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from estsim.device.faults import DeviceFault
from estsim.device.identity import PrivateKey, StoredCredential, dump_key
from estsim.errors import UsageError
from estsim.fleet.factory import Factory, read_pem
from estsim.fleet.keys import KeyRing
from estsim.fleet.part import WHOLE, Part
from estsim.load.choice import parted
from estsim.load.streams import Purpose, uniform
from estsim.scenario.plan import Cohort, Files, Keys, Scenario, Shared
from estsim.server.ca import Issuer, make_key
from estsim.server.config import DEFAULT
from estsim.server.names import Names
from estsim.server.pki import read_authorities
from estsim.units import Distribution

_PEM_SUFFIX = ".pem"


def read_credential(path: Path) -> StoredCredential:
    """Read a device's certificate, its key and what is sent with it from one PEM file; raises UsageError.

    The first certificate is the device's; roots among the others stay at home, as in TLS.
    """
    certificates = read_pem(path, x509.load_pem_x509_certificates, "certificates")
    key = read_pem(path, partial(load_pem_private_key, password=None), "an unencrypted key")
    if not isinstance(key, PrivateKey):
        raise UsageError(f"{path}: expected an EC, RSA or Ed25519 key (got {type(key).__name__})")
    leaf, *others = certificates
    if key.public_key() != read_pem(path, lambda _: leaf.public_key(), "a key that can be read"):
        raise UsageError(f"{path}: the key does not belong to the first certificate")
    above = tuple(other.public_bytes(Encoding.DER) for other in others if other.subject != other.issuer)
    return StoredCredential(leaf.public_bytes(Encoding.DER), dump_key(key), above)


@dataclass(slots=True)
class Papers:
    """Bootstrap credentials in PEM files: one for all devices, or one each, read as the device is born."""

    _shared: StoredCredential | None = None
    _files: tuple[Path, ...] = ()
    _chains: dict[tuple[bytes, ...], tuple[bytes, ...]] = field(default_factory=dict)

    @classmethod
    def shared(cls, path: Path) -> "Papers":
        """Read the one of all devices; raises UsageError."""
        return cls(read_credential(path))

    @classmethod
    def folder(cls, path: Path, devices: int) -> "Papers":
        """Find one for each device, in the order of names; raises UsageError where there are too few."""
        try:
            files = tuple(sorted(file for file in path.iterdir() if file.suffix == _PEM_SUFFIX))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        if len(files) < devices:
            raise UsageError(f"{path}: expected {devices} PEM files (*.pem), one for each device (got {len(files)})")
        return cls(_files=files)

    def of(self, number: int) -> StoredCredential:
        """Return that of the cohort's nth device, from 0; raises UsageError for a file that cannot be used."""
        if self._shared is not None:
            return self._shared
        read = read_credential(self._files[number])
        chain = self._chains.setdefault(read.chain, read.chain)  # a fleet has few, and keeps each once
        return StoredCredential(read.certificate_der, read.key_der, chain)


@dataclass(frozen=True, slots=True)
class Mint:
    """The sandbox's issuing CA in our hands; ``chain`` is what is sent beside its certificates."""

    issuer: Issuer
    chain: tuple[bytes, ...]

    @classmethod
    def of(cls, pki: Path, scenario: Scenario) -> "Mint":
        """Take the CA of the trust center that the fleet goes to, from the folder of its PKI."""
        if scenario.sandbox is None:
            raise UsageError(
                "devices can only be operational from the start where the sandbox mints their certificates"
            )
        center = scenario.sandbox.centers[scenario.sandbox_label or DEFAULT]
        authorities = read_authorities(pki)
        above = (each.certificate for each in reversed(authorities[1:]))
        return cls(
            Issuer(authorities[-1], center.issuer.validity), tuple(each.public_bytes(Encoding.DER) for each in above)
        )

    def owned(self, plan: Cohort, device: int, key: PrivateKey, *, age: float, wall_now_s: float) -> "Owned":
        """Issue what a device got when ``age`` of the validity ago it enrolled."""
        subject, san = plan.subject(device), plan.sans(device)
        names = Names(subject, subject.public_bytes(), san.public_bytes() if san else None)
        issued_s = wall_now_s - age * self.issuer.validity_s
        certificate = self.issuer.issue(key.public_key(), names, issued_s)
        stored = StoredCredential(certificate.public_bytes(Encoding.DER), dump_key(key), self.chain)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return Owned(stored, begins.timestamp(), ends.timestamp())


@dataclass(frozen=True, slots=True)
class Owned:
    """A certificate that a device has from before the run, and its validity in UNIX seconds."""

    credential: StoredCredential
    wall_begins_s: float
    wall_ends_s: float


@dataclass(frozen=True, slots=True)
class Cradle:
    """Where a cohort's devices come from: one of ``factory`` and ``papers``, or neither.

    ``mint`` is there where they start operational.
    """

    plan: Cohort
    keys: KeyRing
    factory: Factory | None = None
    papers: Papers | None = None
    mint: Mint | None = None

    @classmethod
    def build(cls, plan: Cohort, factory: Factory | None, mint: Mint | None, part: Part = WHOLE) -> "Cradle":
        """Put it together; raises UsageError for files that cannot be used and faults that cannot be had."""
        bootstrap = plan.bootstrap
        papers = None
        if isinstance(bootstrap, Shared):
            papers = Papers.shared(bootstrap.path) if bootstrap.path else _firmware(plan, factory)
            factory = None
        elif isinstance(bootstrap, Files):
            papers = Papers.folder(bootstrap.path, plan.devices)
        inborn = sorted(fault.value for fault in plan.faults if fault.is_inborn)
        if inborn and factory is None:
            raise UsageError(
                f"cohorts.{plan.name}.faults.{inborn[0]}: needs bootstrap certificates that estsim makes "
                "(bootstrap: {kind: manufacturer})"
            )
        if plan.start is not None and mint is None:
            raise UsageError(f"cohorts.{plan.name}.start: only a sandbox mints what operational devices own")
        if plan.start is not None and plan.joins:
            raise UsageError(f"cohorts.{plan.name}.start: devices in service from before the run cannot join it later")
        births = part.devices(plan) * ((factory is not None) + (mint is not None))
        return cls(plan, KeyRing(plan.key, _share_of(plan.keys, part), births=births), factory, papers, mint)

    def bootstrap(self, device: int, fault: DeviceFault | None) -> StoredCredential | None:
        """Return what a device speaks as at first, with its fault."""
        if self.factory is not None:
            return self.factory.mint(self.keys.born(), self.plan.subject(device), fault)
        return self.papers.of(device - self.plan.first_device) if self.papers is not None else None

    def owned(self, device: int, *, seed: int, wall_now_s: float) -> Owned | None:
        """Return what a device owns as the run begins, of an age of its own; None where it starts off."""
        start = self.plan.start
        if start is None or self.mint is None:
            return None
        age = start.age.at(uniform(seed, device, Purpose.AGE, 0))
        return self.mint.owned(self.plan, device, self.keys.born(), age=age, wall_now_s=wall_now_s)


def _share_of(keys: Keys, part: Part) -> Keys:
    """Return how many keys are this part's to prepare, or go round in it."""
    reuse = None if keys.reuse is None else max(1, part.share(keys.reuse))
    return Keys(prepare=part.share(keys.prepare), reuse=reuse)


def _firmware(plan: Cohort, factory: Factory | None) -> Papers:
    """Mint the one certificate of a product line."""
    if factory is None:
        raise UsageError(f"cohorts.{plan.name}.bootstrap: a shared key needs a path, or an authority that mints it")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{plan.name} firmware")])
    return Papers(factory.mint(make_key(plan.key), name))


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
