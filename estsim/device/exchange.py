"""One exchange, as every live driver does it: from a command to a request, from a response to an outcome.

A driver's order is always: take a key → open or reuse the connection → ``request(key)`` → send → ``answered(response)``
or ``failed(outcome)`` → record → ``machine.step(Answered(...))``. Pure: wall-clock time is passed in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from http import HTTPStatus

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.device.commands import Exchange
from estsim.device.csr_attributes import forget_attributes, proof_of, take_attributes
from estsim.device.events import Lifetime
from estsim.device.faults import DeviceFault
from estsim.device.http_login import HttpLogin
from estsim.device.identity import Identity
from estsim.device.password import without_credentials, without_password
from estsim.device.policy import Names
from estsim.device.profile import Profile
from estsim.device.request_form import OWN_FORM, RequestForm, names_in_form
from estsim.device.spoilt import spoilt_body, with_another_name, with_bad_signature
from estsim.device.states import CredentialChoice, KeyChoice
from estsim.est.authorities import authorities_of
from estsim.est.bodies import is_remembered
from estsim.est.certificate import Certificate, read_certificate
from estsim.est.csr import build_csr
from estsim.est.enrolment import Goal
from estsim.est.login import NO_LOGIN
from estsim.est.messages import EstRequest, EstResponse, build_request
from estsim.est.operations import operation_path
from estsim.est.outcome import (
    CACertificates,
    CSRAttributes,
    Issued,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
)
from estsim.est.reading import read_response
from estsim.est.redirect import RedirectChain
from estsim.est.signing import PrivateKey
from estsim.est.url import Origin, Place
from estsim.est.verify import verify_issued
from estsim.pki.credentials import LoadedCredential, StoredCredential, load_credential
from estsim.pki.keys import KeyKind, dump_key, kind_of, load_key


def _no_binding() -> bytes | None:
    return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response came to; ``lifetime`` on the run's clock comes with a certificate that passed every check."""

    outcome: Outcome
    non_conformances: tuple[NonConformance, ...] = ()
    lifetime: Lifetime | None = None


class Conversation:
    """One ``Exchange`` command of one device. A challenge or a redirect makes it speak again, as the same exchange."""

    def __init__(self, command: Exchange, device: int, identity: Identity, profile: Profile) -> None:
        self.command = command
        self._device = device
        self._identity = identity
        self._profile = profile
        self._key: PrivateKey | None = None
        self._public: bytes | None = None
        self._csr: bytes | None = None
        self._proof: str | None = None  # that the CSR has
        self._login = None if profile.user is None else HttpLogin(profile.user, identity)
        self._redirects: RedirectChain | None = None  # of most there is none
        self.given: Certificate | None = None  # what the answer certified, whatever it is worth

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

    @property
    def key_kind(self) -> KeyKind | None:
        """The kind of key that the server wishes for, where it is not the device's own; None else."""
        return self._form.key if self.command.key is KeyChoice.NEW else None

    def request(
        self, key: PrivateKey | None, request_id: str | None, binding: Callable[[], bytes | None] = _no_binding
    ) -> EstRequest:
        """Make the request; the CSR is signed once, or once for each TLS session that it is linked to.

        ``binding`` returns what links a request to the session (RFC 7030 §3.5), None where nothing can.
        """
        if key is not None:
            proof = proof_of(binding, self._identity, self._profile)
            if self._csr is None or proof != self._proof:
                self._key, self._proof = key, proof
                self._csr = self._sign(key)
        request = build_request(
            self.command.operation,
            body_der=self._csr,
            base=self._profile.base,
            label=self._profile.label,
            request_id=request_id,
            form=self._profile.form,
        )
        if self._redirects is not None:
            request = replace(request, path=self._redirects.place.target)
        if self._login is not None and not self._is_away:
            request = self._login.authorized(request)
        spoilt = spoilt_body(self._profile.fault, self._device) if request.body else None
        return request if spoilt is None else replace(request, body=spoilt)

    def takes_long(self, response: EstResponse) -> bool:
        """Whether to judge a response may take more than some milliseconds of CPU, which no loop should wait for."""
        return response.is_large and not is_remembered(self.command.operation, response.body)

    @property
    def origin(self) -> Origin:
        """Where the next request goes."""
        return self._profile.origin if self._redirects is None else self._redirects.place.origin

    def answered(self, response: EstResponse, *, now_s: float, wall_now_s: float) -> Answer:
        """Judge a response, verify what it issued, and let the device own it.

        ``wall_now_s`` is the true time. A device whose clock is wrong goes by that alone: it reads dates, Retry-After
        and validities, against it. What has expired by it, or begins more than a minute after it, is of no use.
        """
        if self.ahead_s is not None:
            wall_now_s += self.ahead_s
            response = _without_date(response)
        if self._profile.user is not None and response.status != HTTPStatus.OK:  # whose body is never quoted
            response = without_credentials(response, self._profile.user)
        reading = read_response(
            self.command.operation,
            response,
            deferral_statuses=self._profile.deferral_statuses,
            wall_now_s=wall_now_s,
            public_key_der=self._spki,
            login=NO_LOGIN if self._login is None else self._login.may(away=self._is_away),
            redirected=self._redirected,
        )
        outcome = reading.outcome
        if self._login is not None:
            self._login.answered(response, outcome)
        if isinstance(outcome, Issued):
            return self._take(outcome, reading.non_conformances, wall_now_s - now_s, wall_now_s)
        if isinstance(outcome, CSRAttributes):
            outcome = take_attributes(outcome, self._identity, self._profile, self._own_names)
        if isinstance(outcome, NoCSRAttributes):
            forget_attributes(self._identity)
        if isinstance(outcome, CACertificates):
            self._identity.authorities = outcome.authorities or authorities_of(outcome.certificates)
        self.keep_key()
        return Answer(outcome, reading.non_conformances)

    def without_password(self, text: str) -> str:
        """Return a text for people without what is the device's own secret."""
        return without_password(text, self._profile.user)

    def keep_key(self) -> None:
        """Keep the request's key: the request may be pending, or be sent again."""
        if self._key is not None and self.command.key is KeyChoice.NEW:
            self._identity.pending_key_der = dump_key(self._key)

    # -- the small print

    @property
    def _spki(self) -> bytes | None:
        """The public key that the request is for."""
        if self._public is None and self._key is not None:
            self._public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return self._public

    def _sign(self, key: PrivateKey) -> bytes:
        form = self._form
        is_wished = form.key is None or kind_of(key) is form.key
        csr = build_csr(
            key,
            *self._names,
            challenge_password=self._proof,
            extensions=form.extensions,
            hash_name=form.hash_name if is_wished else None,
        )
        return with_bad_signature(csr) if self._profile.fault is DeviceFault.BAD_CSR_SIGNATURE else csr

    @cached_property
    def _names(self) -> tuple[bytes, bytes | None]:
        """Subject and SubjectAltName as DER: on renewal those of the certificate in hand, else those to enroll for.

        RFC 7030 §4.2.2: "identical" to the certificate's, so they go into the request as they are encoded there.
        """
        if self.command.goal is Goal.RENEW and self.credential:
            certificate = read_certificate(self.credential.certificate_der)
            subject_der = certificate.subject_der
            if self._profile.fault is DeviceFault.WRONG_SUBJECT_ON_RENEW:
                subject_der = with_another_name(subject_der)
            return subject_der, certificate.san_der
        return names_in_form(self._form, *self._own_names)

    @property
    def _own_names(self) -> tuple[bytes, bytes | None]:
        return self._profile.requested.of(self._device, self._identity.bootstrap)

    @property
    def _form(self) -> RequestForm:
        """The form of the request, by the CSR attributes that the server wishes for."""
        return self._identity.form or OWN_FORM

    def _redirected(self, status: int, location: str | None) -> Outcome:
        """Follow a redirect, or say why not."""
        if self._redirects is None:
            operation, profile = self.command.operation, self._profile
            path = operation_path(operation, base=profile.base, label=profile.label)
            self._redirects = RedirectChain(Place(profile.origin, path), profile.redirects, method=operation.method)
        return self._redirects.read(status, location)

    @property
    def _is_away(self) -> bool:
        """Whether redirects have led to another server, which is not to see a password."""
        return self._redirects is not None and not self._redirects.is_home

    def _take(
        self,
        issued: Issued,
        notes: tuple[NonConformance, ...],
        offset_s: float,
        wall_now_s: float,
    ) -> Answer:
        certificate, key, spki = issued.certificate, self._key, self._spki
        self.given = certificate
        authorities = self._identity.authorities or self._profile.authorities
        if certificate is None or key is None or spki is None or authorities is None:
            self.keep_key()
            return Answer(
                Malformed("there are no CA certificates to verify the issued certificate against", "RFC 7030 §4.1.3"),
                notes,
            )
        if not self._profile.can_present(certificate.der):
            self.keep_key()
            return Answer(Malformed("OpenSSL cannot read the issued certificate", "RFC 5280 §4.1"), notes)
        subject_der, san_der = self._names
        found = verify_issued(
            certificate,
            public_key_der=spki,
            subject_der=subject_der,
            san_der=san_der,
            authorities=authorities,
            wall_now_s=wall_now_s,
            names_required=self._profile.names is Names.REQUIRE,
        )
        if isinstance(found, Malformed):
            self.keep_key()
            return Answer(found, notes)
        notes += found
        chain = authorities.chain_of(certificate) or ()
        self._identity.issued = StoredCredential(certificate.der, dump_key(key), _intermediates(chain))
        self._identity.pending_key_der = None
        lifetime = Lifetime(
            not_before_s=certificate.not_before_s - offset_s,
            not_after_s=certificate.not_after_s - offset_s,
        )
        return Answer(issued, notes, lifetime)


@lru_cache(maxsize=64)
def _intermediates(chain: tuple[Certificate, ...]) -> tuple[bytes, ...]:
    """Return a chain without its root, as sent beside the leaf."""
    return tuple(each.der for each in chain if not each.is_self_issued)


def _without_date(response: EstResponse) -> EstResponse:
    headers = tuple(header for header in response.headers if header[0] != "date")
    return replace(response, headers=headers)
