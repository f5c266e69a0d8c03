"""What a device does about the CSR attributes that it was told: obeys them, notes them, links requests to sessions."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from estsim.device.identity import Identity
from estsim.device.policy import Attributes, Pop
from estsim.device.profile import Profile
from estsim.device.request_form import OWN_FORM, CannotObey, names_in_form, request_form
from estsim.est.csr_attributes import read_csr_attributes
from estsim.est.der import DERError
from estsim.est.operations import Operation
from estsim.est.outcome import CSRAttributes, Malformed, Outcome, Rejected


def take_attributes(
    found: CSRAttributes, identity: Identity, profile: Profile, own_names: tuple[bytes, bytes | None]
) -> Outcome:
    """Take the form that the server wishes for; what the device cannot fulfil is noted, or ends the enrolment.

    ``own_names`` are Subject and SubjectAltName of a request that follows no wish.
    """
    obeys = profile.csrattrs is Attributes.OBEY
    forget_attributes(identity)
    try:
        wishes = read_csr_attributes(found.der)
        identity.wants_proof = wishes.wants_proof
        form = request_form(wishes, profile.key, proves=profile.pop is not Pop.NEVER)
        names_in_form(form, *own_names)
    except DERError as error:
        return Malformed(f"CSR attributes: {error}", Operation.CSRATTRS.spec.section)
    except CannotObey as error:
        if obeys:
            return Rejected(HTTPStatus.OK, f"the CSR attributes require what the device cannot do: {error}")
        return replace(found, detail=f"not obeyed: {error}")
    if obeys:
        identity.form = form
        return found
    return found if form == OWN_FORM else replace(found, detail=f"not obeyed: {form.told}")


def forget_attributes(identity: Identity) -> None:
    """Go back to requests of the device's own choice."""
    identity.form, identity.wants_proof = None, False


def proof_of(binding: Callable[[], bytes | None], identity: Identity, profile: Profile) -> str | None:
    """Return the challengePassword that links the request to its TLS session, None where it is not to be."""
    pop = profile.pop
    if pop is Pop.NEVER or (pop is Pop.AUTO and not identity.wants_proof):
        return None
    value = binding()
    return None if value is None else b64encode(value).decode("ascii")
