"""The names that a certificate will carry, byte for byte as the request gives them (RFC 7030 §4.2.2, RFC 6402 §2.8).

RFC 7030 has Subject and SubjectAltName compared, and encodings differ where texts do not, so both are copied raw. Names
that nobody could read are refused.
"""

from estsim.est.csr import CSRFacts
from estsim.est.der import SEQUENCE, SET, DERError, children
from estsim.pki.names import EMPTY_NAME, Names
from estsim.server.certifiable import check_general_names, check_name


class NamesError(ValueError):
    """Names that cannot be certified; the text says what was expected."""


def requested_names(facts: CSRFacts, *, renewing: bool) -> Names:
    """Return the names a request asks for; raises :class:`NamesError`.

    On re-enrolment the ChangeSubjectName attribute, where it carries names, overrides those of the request itself.
    """
    try:
        subject_der, san_der = facts.subject_der, facts.san_der
        if renewing and facts.change_subject_name is not None:
            changed_subject, changed_san = _changed(facts.change_subject_name)
            subject_der, san_der = changed_subject or subject_der, changed_san or san_der
        if san_der is not None:
            check_general_names(san_der)
        check_name(subject_der, "Subject")
    except DERError as error:
        raise NamesError(f"the names of the request cannot be read: {error}") from error
    if subject_der == EMPTY_NAME and san_der is None:
        raise NamesError("expected a Subject or a SubjectAltName (got neither)")
    return Names(subject_der, san_der)


def _changed(value: bytes) -> tuple[bytes | None, bytes | None]:
    """Read ``ChangeSubjectName ::= SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }``.

    Both are SEQUENCEs; only the elements tell them apart: those of a Name are SETs.
    """
    ((holder, _, first, last),) = children(value, 0, len(value))
    if holder != SEQUENCE:
        raise DERError("expected a ChangeSubjectName")
    subject_der = san_der = None
    names = children(value, first, last)
    if len(names) > 2:  # noqa: PLR2004 - a Name and GeneralNames
        raise DERError("expected at most a Name and GeneralNames in ChangeSubjectName")
    for tag, start, content, end in names:
        inner = children(value, content, end)
        if tag != SEQUENCE:
            raise DERError("expected a Name or GeneralNames in ChangeSubjectName")
        if all(kind == SET for kind, *_ in inner):
            if subject_der is not None or san_der is not None:  # the order is the SEQUENCE's
                raise DERError("expected a Name, then GeneralNames in ChangeSubjectName")
            subject_der = value[start:end]
        elif san_der is not None:
            raise DERError("expected GeneralNames once in ChangeSubjectName")
        else:
            san_der = value[start:end]
    return subject_der, san_der
