"""A trust center put together from its configuration."""

from collections.abc import Callable

from estsim.est.certificate import Certificate
from estsim.pki.authority import Issuer
from estsim.server.admission import Admission
from estsim.server.capacity import CapacityGate, SignerPool, Signers, TokenBucket
from estsim.server.center import AnswerForm, TrustCenter
from estsim.server.clock import SandboxClock
from estsim.server.config import SandboxConfig, TrustCenterConfig
from estsim.server.csr_attributes import attributes_der
from estsim.server.faults import FaultPlan
from estsim.server.issuing_config import CapacityConfig
from estsim.server.pki import Pki
from estsim.server.policy import Decision, IssuePolicy, Request

_WRAPPED_COLUMNS = 64


def build_center(
    label: str,
    config: SandboxConfig,
    pki: Pki,
    anchors: tuple[Certificate, ...],
    *,
    verified: bool,
    clock: SandboxClock,
    decision: Callable[[str, Request], Decision | None],
) -> TrustCenter:
    """Build a label's trust center; for ``verified`` see Admission, for ``decision`` see TrustCenter."""
    center = config.centers[label]
    capacity = center.capacity
    return TrustCenter(
        label,
        admission=Admission(
            center.clients, pki.issuer.certificate.subject_der, anchors, verified=verified, wishes=center.csrattrs
        ),
        policy=IssuePolicy(
            center.issue,
            None if capacity is None else build_gate(capacity),
            seed=config.seed,
            tells_overload=tells_overload(capacity),
        ),
        issuer=Issuer(pki.issuer, center.issuer.validity),
        faults=FaultPlan(center.faults, seed=config.seed),
        ca_certificates=pki.ca_certificates,
        form=_form(config, center),
        clock=clock,
        csr_attributes=None if center.csrattrs is None else attributes_der(center.csrattrs),
        decision=decision,
    )


def change_center(center: TrustCenter, config: SandboxConfig) -> None:
    """Apply another configuration to a running trust center, within what `estsim.server.changes` allows."""
    part = config.centers[center.label]
    gate = None if part.capacity is None else build_gate(part.capacity)
    center.policy.change(part.issue, gate, tells_overload=tells_overload(part.capacity))
    center.change(FaultPlan(part.faults, seed=config.seed), _form(config, part))


def _form(config: SandboxConfig, center: TrustCenterConfig) -> AnswerForm:
    return AnswerForm(
        columns=_WRAPPED_COLUMNS if config.base64 == "wrapped" else None,
        deferral_status=center.issue.status,
        http_dates=center.issue.retry_after.form == "http-date",
    )


def tells_overload(capacity: CapacityConfig | None) -> bool:
    """Whether refusals for lack of capacity carry a Retry-After."""
    return capacity is None or capacity.retry_after != "none"


def build_gate(capacity: CapacityConfig) -> CapacityGate:
    """Return the gate of a ``capacity`` key."""
    return CapacityGate(_signers(capacity), capacity.overflow, capacity.queue_limit)


def _signers(capacity: CapacityConfig) -> Signers:
    if capacity.sign_time is not None:
        return SignerPool(capacity.signers or 1, capacity.sign_time, capacity.burst)
    if capacity.rate is None:
        raise AssertionError("the configuration model guarantees that one of the two is set")
    return TokenBucket(capacity.rate, capacity.burst)
