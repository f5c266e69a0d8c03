"""The search for CA certificates that chain to an anchor: names, keys and who has signed whom.

Its time is bounded, as the certificates are foreign. Issuers are looked up by name, and by key identifier where there
is one; a signature is checked against each key of the issuer's name at most once, and the total cost of the checks is
limited. Certificates with key identifiers, and chains in order (root first or last), never reach the limit.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from estsim.est.certificate import ALGORITHMS_DIFFER, Certificate
from estsim.est.names import name_value
from estsim.est.public_keys import KeyUnreadable, check_cost, key_identifier, public_key
from estsim.est.signatures import has_signed, signature_algorithm

_CHECKS: Final = 256  # about 16 ms, besides one for each candidate: a chain of one name, of 22 in any order


def refusal_of(certificate: Certificate) -> str | None:
    """Say why a certificate is refused for its signature algorithm, or None."""
    if ALGORITHMS_DIFFER in certificate.oddities:
        return "its two signature algorithm fields differ (RFC 5280 §4.1.1.2)"
    return signature_algorithm(certificate.algorithm_der).refusal


@dataclass(slots=True, eq=False)
class Authority:
    """A trusted issuer. ``below`` says how many CAs may follow it (pathLenConstraint, RFC 5280 §4.2.1.9).

    Of several for one key the lowest ``rank`` is used: chains to an anchor before chains to an older root, then the
    shortest chain.
    """

    certificate: Certificate
    issuer: "Authority | None"
    below: float
    rank: tuple[bool, int]

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """Its certificate first, the root last."""
        found = [self.certificate]
        above = self.issuer
        while above is not None:
            found.append(above.certificate)
            above = above.issuer
        return tuple(found)


@dataclass(slots=True, eq=False)
class IssuerKey:
    """A name with one of its keys; ``holders`` are the trusted certificates of both, by rank.

    ``cost`` is that of checking a signature by this key, in checks with P-256.
    """

    key: PublicKeyTypes
    identifiers: set[bytes]
    cost: int
    holders: list[Authority] = field(default_factory=list)

    def may_have_signed(self, certificate: Certificate) -> bool:
        """Whether the certificate's AuthorityKeyIdentifier, if any, names this key."""
        wanted = certificate.extensions.authority_key
        return wanted is None or wanted in self.identifiers

    def has_signed(self, certificate: Certificate) -> bool:
        """Whether this key made the certificate's signature, with an algorithm that is accepted."""
        return refusal_of(certificate) is None and has_signed(
            self.key, certificate.algorithm_der, certificate.signature, certificate.tbs
        )


class _Group:
    """Candidates of one issuer name and one AuthorityKeyIdentifier; those that were taken are skipped in one step."""

    def __init__(self) -> None:
        self.certificates: list[Certificate] = []
        self._next: dict[int, int] = {}  # from one that was taken to one that perhaps was not
        self._tried: set[int] = set()

    def is_first_try(self, at: int) -> bool:
        """Whether this is the first key tried on a candidate; notes the try."""
        is_first = at not in self._tried
        self._tried.add(at)
        return is_first

    def take(self, at: int) -> None:
        """Take a candidate out."""
        self._next[at] = at + 1

    def left(self) -> Iterator[Certificate]:
        """Yield those that were not taken."""
        return (each for at, each in enumerate(self.certificates) if at not in self._next)

    @property
    def is_empty(self) -> bool:
        """Whether all were taken."""
        return len(self._next) == len(self.certificates)

    def likely_below(self, at: int) -> Iterator[tuple["_Group", int]]:
        """Yield where a chain most likely continues below a candidate: after it, or before it if that is taken."""
        for near in (at + 1, at - 1):
            if 0 <= near < len(self.certificates) and near not in self._next:
                yield self, near
                return

    def places(self) -> Iterator[int]:
        """Yield the place of each candidate that is left when its turn comes."""
        at = self._skip(0)
        while at < len(self.certificates):
            yield at
            at = self._skip(at + 1)

    def _skip(self, at: int) -> int:
        """Return the first place from ``at`` on that was not taken, with path compression."""
        path = []
        while at in self._next:
            path.append(at)
            at = self._next[at]
        for passed in path:
            self._next[passed] = at
        return at


@dataclass(slots=True, eq=False)
class _Tries:
    """The candidates that one key is tried on: groups and places in them, found lazily."""

    key: IssuerKey
    places: Iterator[tuple[_Group, int]]


class IssuerSearch:
    """The issuers trusted so far: ``by_name`` has the keys of each name, ``passed_over`` why a name is unusable.

    One signature of each candidate is always checked; ``most_checks`` limits all further checks, in checks with P-256.
    """

    def __init__(self, most_checks: int | None = None) -> None:
        self.by_name: dict[object, list[IssuerKey]] = {}
        self.passed_over: dict[object, str] = {}
        self._keys: dict[tuple[object, bytes], IssuerKey] = {}
        self._left = _CHECKS if most_checks is None else most_checks
        self._groups: dict[object, dict[bytes | None, _Group]] = {}
        self._later: deque[_Tries] = deque()
        self._last: deque[_Tries] = deque()

    @property
    def is_given_up(self) -> bool:
        """Whether the limit was reached."""
        return self._left <= 0

    def trust_anchor(self, certificate: Certificate, *, is_older: bool) -> None:
        """Trust a certificate as an issuer; one with an unreadable key is passed over."""
        self._trust(Authority(certificate, None, _allowed_below(certificate), (is_older, 0)))

    def _trust(self, authority: Authority) -> IssuerKey | None:
        """Add an issuer and return its key; None where that cannot be read."""
        certificate = authority.certificate
        name = name_value(certificate.subject_der)
        identifier = certificate.extensions.subject_key
        key = self._keys.get((name, certificate.spki))
        if key is None:
            try:
                loaded = public_key(certificate.spki)
            except KeyUnreadable as error:
                self.passed_over[name] = f"public key cannot be read: {error}"
                return None
            key = IssuerKey(loaded, {key_identifier(certificate.spki)}, check_cost(loaded))
            if identifier is not None:
                key.identifiers.add(identifier)
            self._keys[name, certificate.spki] = key
            self.by_name.setdefault(name, []).append(key)
            self._plan(name, key)
        elif identifier is not None and identifier not in key.identifiers:
            key.identifiers.add(identifier)
            self._later.append(_Tries(key, self._likely(name, (identifier,))))
        insort(key.holders, authority, key=lambda holder: holder.rank)
        return key

    def go_down(self, candidates: Iterable[Certificate]) -> list[Certificate]:
        """Trust the candidates that chain to what is trusted already; return those that do not.

        A new key is tried first where its chain most likely goes on, so that a chain in order costs one check a link;
        then each key is tried on what names it, or names nothing, and at last on what names another: a CA that writes
        other identifiers than it has is found all the same, if checks are left.
        """
        given = tuple(candidates)
        self._groups, self._later, self._last = {}, deque(), deque()
        for candidate in given:
            if refusal_of(candidate) is None:
                groups = self._groups.setdefault(name_value(candidate.issuer_der), {})
                groups.setdefault(candidate.extensions.authority_key, _Group()).certificates.append(candidate)
        for name in self._groups:
            for key in self.by_name.get(name, ()):
                self._plan(name, key)
        self._try_all()
        left = {each for groups in self._groups.values() for group in groups.values() for each in group.left()}
        return [each for each in given if each in left or refusal_of(each) is not None]

    def _plan(self, name: object, key: IssuerKey) -> None:
        """Schedule a key for all candidates of its name, the likely ones first."""
        if name in self._groups:
            self._later.append(_Tries(key, self._likely(name, (None, *key.identifiers))))
            self._last.append(_Tries(key, self._unlikely(name, key)))

    def _likely(self, name: object, identifiers: tuple[bytes | None, ...]) -> Iterator[tuple[_Group, int]]:
        for identifier in identifiers:
            if (group := self._groups.get(name, {}).get(identifier)) is not None:
                yield from ((group, at) for at in group.places())

    def _unlikely(self, name: object, key: IssuerKey) -> Iterator[tuple[_Group, int]]:
        """Yield candidates that name other keys; empty groups are removed on the way."""
        groups = self._groups.get(name, {})
        for identifier, group in list(groups.items()):
            if identifier is not None and identifier not in key.identifiers:
                yield from ((group, at) for at in group.places())
            if group.is_empty:
                groups.pop(identifier, None)

    def _try_all(self) -> None:
        descent: list[_Tries] = []
        while (descent or self._later or self._last) and self._left > 0:
            if not descent:
                descent.append((self._later or self._last).popleft())
            tries = descent[-1]
            step = next(tries.places, None)
            if step is None:
                descent.pop()
                continue
            group, at = step
            candidate = group.certificates[at]
            if not group.is_first_try(at):
                self._left -= tries.key.cost
            if tries.key.has_signed(candidate):
                self._left += tries.key.cost  # a check that succeeds costs nothing
                group.take(at)
                new = self._take(candidate, tries.key)
                if new is not None and candidate.is_self_issued and new.may_have_signed(candidate):
                    descent.append(_Tries(new, group.likely_below(at)))

    def _take(self, candidate: Certificate, key: IssuerKey) -> IssuerKey | None:
        """Add a certificate signed by a trusted key as an issuer, if it may be one; return its key."""
        if not candidate.is_ca:
            self.passed_over[name_value(candidate.subject_der)] = "it is not a CA certificate"
            return None
        needed = 0 if candidate.is_self_issued else 1
        issuer = next((holder for holder in key.holders if holder.below >= needed), None)
        if issuer is None:
            self.passed_over[name_value(candidate.subject_der)] = "a path length constraint above it excludes it"
            return None
        is_older, depth = issuer.rank
        below = min(_allowed_below(candidate), issuer.below - needed)
        return self._trust(Authority(candidate, issuer, below, (is_older, depth + 1)))


def _allowed_below(certificate: Certificate) -> float:
    path_length = certificate.extensions.path_length
    return inf if path_length is None else path_length
