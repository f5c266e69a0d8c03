"""What all exchanges of a cohort share: the server, and how its devices ask and judge."""

from collections.abc import Callable
from dataclasses import dataclass

from estsim.device.faults import DeviceFault
from estsim.device.identity import RequestedNames
from estsim.device.password import HttpUser
from estsim.device.policy import Attributes, Names, Pop
from estsim.est.authorities import CertificateAuthorities
from estsim.est.messages import BodyForm
from estsim.est.redirect import Redirects
from estsim.est.url import Origin
from estsim.pki.keys import KeyKind


def _any(_certificate_der: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Profile:
    """What all exchanges of a cohort share, or those of its devices with one fault.

    ``origin`` is the server, ``base`` and ``label`` the path to its operations. ``ahead_s`` says by how many seconds a
    device's clock is ahead; None where all clocks are right. ``can_present`` says of a certificate's DER whether the
    device's TLS can show it.
    """

    origin: Origin
    base: str
    label: str | None
    deferral_statuses: frozenset[int]
    requested: RequestedNames
    authorities: CertificateAuthorities | None  # the configured trust, until CA certificates are fetched
    user: HttpUser | None = None
    fault: DeviceFault | None = None
    ahead_s: Callable[[int], float] | None = None
    names: Names = Names.NOTE
    redirects: Redirects = Redirects.SAME_ORIGIN
    form: BodyForm = BodyForm.WRAPPED
    can_present: Callable[[bytes], bool] = _any
    csrattrs: Attributes = Attributes.OFF
    pop: Pop = Pop.AUTO
    key: KeyKind = KeyKind.EC_P256  # of the devices, where the server wishes for none
