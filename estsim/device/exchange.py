"""One exchange, as every live driver does it: from a command to a request, from a response to an outcome.

A driver's order is always: take a key → open or reuse the connection → ``request(key)`` → send → ``answered(response)``
or ``failed(outcome)`` → record → ``machine.step(Answered(...))``. Pure: wall-clock time is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.device.commands import Exchange
from estsim.device.events import Lifetime
from estsim.device.faults import DeviceFault
from estsim.device.identity import (
    Identity,
    LoadedCredential,
    PrivateKey,
    StoredCredential,
    dump_key,
    load_credential,
    load_key,
)
from estsim.device.spoilt import spoilt_body, with_another_name, with_bad_signature
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.est.csr import build_csr
from estsim.est.enrolment import Goal
from estsim.est.messages import EstRequest, EstResponse, basic_authorization, build_request, read_response
from estsim.est.outcome import CACertificates, Challenged, Issued, Malformed, NonConformance, Outcome
from estsim.est.verify import CertificateAuthorities, authorities_of, verify_issued


@dataclass(frozen=True, slots=True)
class BasicUser:
    """HTTP Basic credentials; preemptive sends them unasked, else a challenge is awaited."""

    user: str
    password: str = field(repr=False)
    preemptive: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """What all exchanges of a cohort share, or those of its devices with one fault.

    ``ahead_s`` says by how many seconds a device's clock is ahead; None where all clocks are right.
    """

    base: str
    label: str | None
    deferral_statuses: frozenset[int]
    subject_of: Callable[[int], x509.Name]
    san_of: Callable[[int], x509.SubjectAlternativeName | None]
    authorities: CertificateAuthorities | None  # the configured trust, until CA certificates are fetched
    basic: BasicUser | None = None
    fault: DeviceFault | None = None
    ahead_s: Callable[[int], float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response came to; ``lifetime`` on the run's clock comes with a certificate that passed every check."""

    outcome: Outcome
    non_conformances: tuple[NonConformance, ...] = ()
    lifetime: Lifetime | None = None


class Conversation:
    """One ``Exchange`` command of one device. A challenge makes it speak twice, as the same exchange."""

    def __init__(self, command: Exchange, device: int, identity: Identity, profile: Profile) -> None:
        self.command = command
        self._device = device
        self._identity = identity
        self._profile = profile
        self._key: PrivateKey | None = None
        self._csr: bytes | None = None
        self._challenged = False
        self.given: x509.Certificate | None = None  # what the answer certified, whatever it is worth

    @cached_property
    def ahead_s(self) -> float | None:
        """By how many seconds the device's clock is ahead, None where it is right."""
        return None if self._profile.ahead_s is None else self._profile.ahead_s(self._device)

    @cached_property
    def credential(self) -> LoadedCredential | None:
        """The credential that the TLS session presents, None where the device has none to show."""
        identity = self._identity
        issued = self.command.credential is CredentialChoice.ISSUED
        stored = identity.issued if issued else identity.bootstrap
        return load_credential(stored) if stored else None

    def own_key(self) -> PrivateKey | None:
        """The key that the device has for this request already; None where it needs a new one or none."""
        if self.command.key is KeyChoice.HELD and self.credential:
            return self.credential.key
        if self.command.key is KeyChoice.PENDING and self._identity.pending_key_der:
            return load_key(self._identity.pending_key_der)
        return None

    def request(self, key: PrivateKey | None, request_id: str | None) -> EstRequest:
        """Make the request; the CSR is signed once, whatever happens to the first try."""
        if key is not None and self._csr is None:
            self._key = key
            self._csr = self._sign(key)
        request = build_request(
            self.command.operation,
            body_der=self._csr,
            base=self._profile.base,
            label=self._profile.label,
            request_id=request_id,
            authorization=self._authorization(),
        )
        spoilt = spoilt_body(self._profile.fault, self._device) if request.body else None
        return request if spoilt is None else replace(request, body=spoilt)

    def answered(self, response: EstResponse, *, now_s: float, wall_now_s: float) -> Answer:
        """Judge a response, verify what it issued, and let the device own it.

        ``wall_now_s`` is the true time. A device whose clock is wrong goes by that alone: it reads dates, Retry-After
        and validities, against it. What has expired by it is no use to the device; what is not valid yet it takes.
        """
        if self.ahead_s is not None:
            wall_now_s += self.ahead_s
            response = _without_date(response)
        reading = read_response(
            self.command.operation,
            response,
            deferral_statuses=self._profile.deferral_statuses,
            wall_now_s=wall_now_s,
            can_answer=self._can_answer(),
        )
        outcome = reading.outcome
        if isinstance(outcome, Issued):
            return self._take(outcome, reading.non_conformances, wall_now_s - now_s, wall_now_s)
        if isinstance(outcome, CACertificates):
            self._identity.authorities = authorities_of(outcome.certificates)
        self._challenged = isinstance(outcome, Challenged)
        self.keep_key()
        return Answer(outcome, reading.non_conformances)

    def keep_key(self) -> None:
        """Keep the request's key: the request may be pending, or be sent again."""
        if self._key is not None and self.command.key is KeyChoice.NEW:
            self._identity.pending_key_der = dump_key(self._key)

    # -- the small print

    def _sign(self, key: PrivateKey) -> bytes:
        subject, san = self._names
        csr = build_csr(key, subject, san)
        return with_bad_signature(csr) if self._profile.fault is DeviceFault.BAD_CSR_SIGNATURE else csr

    @cached_property
    def _names(self) -> tuple[x509.Name, x509.SubjectAlternativeName | None]:
        """On renewal the names of the certificate in hand (RFC 7030 §4.2.2: identical), else those of the scenario."""
        if self.command.goal is Goal.RENEW and self.credential:
            certificate = self.credential.certificate
            subject = certificate.subject
            if self._profile.fault is DeviceFault.WRONG_SUBJECT_ON_RENEW:
                subject = with_another_name(subject)
            return subject, _san_of(certificate)
        return self._profile.subject_of(self._device), self._profile.san_of(self._device)

    def _authorization(self) -> str | None:
        basic = self._profile.basic
        if basic is None or self.command.credential is CredentialChoice.ISSUED:
            return None
        if basic.preemptive or self._challenged:
            return basic_authorization(basic.user, basic.password)
        return None

    def _can_answer(self) -> frozenset[str]:
        may = self._profile.basic is not None and self._authorization() is None
        return frozenset({"basic"}) if may and self.command.credential is CredentialChoice.BOOTSTRAP else frozenset()

    def _take(
        self,
        issued: Issued,
        notes: tuple[NonConformance, ...],
        offset_s: float,
        wall_now_s: float,
    ) -> Answer:
        certificate, key = issued.certificate, self._key
        self.given = certificate
        authorities = self._identity.authorities or self._profile.authorities
        if certificate is None or key is None or authorities is None:
            self.keep_key()
            return Answer(
                Malformed("no CA certificates to verify the issued certificate against", "RFC 7030 §4.1.3"), notes
            )
        subject, san = self._names
        wrong = verify_issued(
            certificate,
            public_key_der=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            subject_der=subject.public_bytes(),
            san_der=san.public_bytes() if san else None,
            authorities=authorities,
            wall_now_s=wall_now_s,
        )
        if wrong is not None:
            self.keep_key()
            return Answer(wrong, notes)
        chain = authorities.chain_of(certificate) or ()
        self._identity.issued = StoredCredential(
            certificate.public_bytes(Encoding.DER), dump_key(key), _intermediates(chain)
        )
        self._identity.pending_key_der = None
        lifetime = Lifetime(
            not_before_s=certificate.not_valid_before_utc.timestamp() - offset_s,
            not_after_s=certificate.not_valid_after_utc.timestamp() - offset_s,
        )
        return Answer(issued, notes, lifetime)


@lru_cache(maxsize=64)
def _intermediates(chain: tuple[x509.Certificate, ...]) -> tuple[bytes, ...]:
    """Return a chain without its root, as sent beside the leaf."""
    return tuple(c.public_bytes(Encoding.DER) for c in chain if c.subject != c.issuer)


def _without_date(response: EstResponse) -> EstResponse:
    headers = tuple(header for header in response.headers if header[0] != "date")
    return replace(response, headers=headers)


def _san_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
