"""CA certificates as trust: which of them may issue, and the chain of a certificate below them.

An anchor's own signature is not checked for trust (RFC 5280 §6.1: a trust anchor is a name and a key). It only tells a
root from a link certificate of the same name (OldWithNew, NewWithOld: RFC 4210 §4.4), for which an old hash will do.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from estsim.est.certificate import Certificate
from estsim.est.issuer_search import IssuerKey, IssuerSearch, refusal_of
from estsim.est.names import name_value
from estsim.est.public_keys import KeyUnreadable, public_key
from estsim.est.signatures import has_signed, signature_algorithm

_REMEMBERED_CHAINS: Final = 256  # a certificate is verified, then presented: both need its chain
_REMEMBERED_AUTHORITIES: Final = 32
_LEAF_CHECKS: Final = 80  # of one certificate, in checks with P-256: 5 ms, on the event loop


@lru_cache(maxsize=1024)
def is_root(certificate: Certificate) -> bool:
    """Whether a certificate is a root: self-issued, and signed by its own key and not by another of its name.

    Where the signature cannot be checked here, the key identifiers decide: a link certificate names another key.
    """
    if not certificate.is_self_issued:
        return False
    extensions = certificate.extensions
    if extensions.authority_key is not None and extensions.subject_key not in (None, extensions.authority_key):
        return False
    if signature_algorithm(certificate.algorithm_der).verify is None:
        return True
    try:
        key = public_key(certificate.spki)
    except KeyUnreadable:
        return False
    return has_signed(key, certificate.algorithm_der, certificate.signature, certificate.tbs)


def newest_root_first(certificates: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """Return the certificates, the self-signed root that is valid longest first, the rest in their order."""
    given = tuple(certificates)
    roots = [certificate for certificate in given if is_root(certificate)]
    if not roots:
        return given
    newest = max(roots, key=lambda root: root.not_after_s)
    return (newest, *(certificate for certificate in given if certificate is not newest))


class CertificateAuthorities:
    """An immutable set of CA certificates as trust: explicit anchors, and path material trusted only through them.

    Two sets of the same certificates are equal. Path material that chains to no anchor is not trusted and is listed in
    ``unchained``. An anchor that is not a self-signed root ends a chain only where no other anchor issued it.
    ``older_roots`` are trusted for certificates that no anchor leads to (:meth:`is_older`). ``most_checks`` limits
    the signatures that are checked in the search.
    """

    def __init__(
        self,
        anchors: Iterable[Certificate],
        path_material: Iterable[Certificate] = (),
        *,
        older_roots: Iterable[Certificate] = (),
        most_checks: int | None = None,
    ) -> None:
        given = tuple(dict.fromkeys(anchors))
        material = tuple(each for each in dict.fromkeys(path_material) if each not in set(given))
        self._older = frozenset(older_roots)
        self._certificates = (frozenset(given), frozenset(material), self._older)
        self._search = IssuerSearch(most_checks)
        self._remembered = lru_cache(_REMEMBERED_CHAINS)(self._find_chain)
        left = self._trust([*given, *material], [anchor for anchor in given if is_root(anchor)])
        left = self._trust(left, [anchor for anchor in left if anchor in self._certificates[0]])
        left = self._trust(left, list(self._older))
        self.unchained = tuple((each, self._why_unchained(each)) for each in left)

    def _trust(self, certificates: list[Certificate], anchors: list[Certificate]) -> list[Certificate]:
        """Trust anchors, and those of the certificates that they issued; return the others."""
        if not anchors:
            return certificates
        for anchor in anchors:
            self._search.trust_anchor(anchor, is_older=anchor in self._older)
        trusted = set(anchors)
        return self._search.go_down([each for each in certificates if each not in trusted])

    def chain_of(self, certificate: Certificate) -> tuple[Certificate, ...] | None:
        """Return a certificate's issuers up to the root, its signature verified; None where it does not chain.

        Remembered, because a certificate is first verified and then sent with its chain.
        """
        return self._remembered(certificate)

    def is_older(self, root: Certificate) -> bool:
        """Whether a root is one of the older ones, trusted besides the newest."""
        return root in self._older

    def why_not(self, certificate: Certificate) -> str:
        """Say why a certificate has no chain: its signature algorithm, or its issuer."""
        return refusal_of(certificate) or self._why_unchained(certificate)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CertificateAuthorities) and self._certificates == other._certificates

    def __hash__(self) -> int:
        return hash(self._certificates)

    def __repr__(self) -> str:
        anchors, material, older = map(len, self._certificates)
        besides = f", {older} older roots" if older else ""
        return f"<CertificateAuthorities {anchors} anchors, {material} for paths{besides}>"

    def _find_chain(self, certificate: Certificate) -> tuple[Certificate, ...] | None:
        by_name, name = self._search.by_name, name_value(certificate.issuer_der)
        keys = by_name.get(name, [])
        checks_left = _LEAF_CHECKS
        for key in _likely_first(keys, certificate):
            if key.has_signed(certificate):
                if keys[0] is not key:  # the key that issues now is tried first from now on; safe for threads
                    by_name[name] = [key, *(other for other in keys if other is not key)]
                return key.holders[0].chain
            checks_left -= key.cost
            if checks_left <= 0:
                break
        return None

    def _why_unchained(self, certificate: Certificate) -> str:
        if refusal := refusal_of(certificate):
            return refusal
        name, value = certificate.issuer or "an empty name", name_value(certificate.issuer_der)
        if keys := self._search.by_name.get(value):
            if self._search.is_given_up:
                return f"issuer {name} has {len(keys)} or more keys, too many to try for each certificate"
            return f"not signed by any key of issuer {name}"
        if (why := self._search.passed_over.get(value)) is not None:
            return f"issuer {name} cannot be used: {why}"
        return f"issuer {name} is not among the CA certificates"


def _likely_first(keys: list[IssuerKey], certificate: Certificate) -> list[IssuerKey]:
    """Return keys, those that the certificate's AuthorityKeyIdentifier names first."""
    return sorted(keys, key=lambda key: not key.may_have_signed(certificate))


@lru_cache(maxsize=_REMEMBERED_AUTHORITIES)
def authorities_of(certificates: tuple[Certificate, ...]) -> CertificateAuthorities:
    """Return the trust that an answer to cacerts makes: its newest root, the others for paths (RFC 7030 §4.1.3).

    Other roots, without a link certificate from the newest, are trusted too: several servers send several chains.
    Without a root, which the answer should contain, each certificate is an anchor. Cached, because a whole fleet
    receives the same answer.
    """
    ordered = newest_root_first(certificates)
    if not ordered or not is_root(ordered[0]):
        return CertificateAuthorities(ordered)
    older = {each for each in ordered[1:] if is_root(each)}
    return CertificateAuthorities(ordered[:1], [each for each in ordered[1:] if each not in older], older_roots=older)
