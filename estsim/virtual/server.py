"""The server of a dry run: a model that decides at once and says when its answer arrives. No network, no clock.

For a sandbox it is the trust center's own :class:`~estsim.server.policy.IssuePolicy` and capacity gate. Nothing is
known of any other server, so its model issues at once. Authorisation, faults and approvals are not modelled; the notes
of a forecast say so where it matters.
"""

from collections.abc import Mapping
from math import ceil
from struct import Struct
from typing import Any, Final, Protocol

from estsim.errors import EstsimError
from estsim.est.operations import Operation
from estsim.est.outcome import (
    NO_RETRY_AFTER,
    CACertificates,
    Deferred,
    Issued,
    NoCSRAttributes,
    Outcome,
    Overloaded,
    Rejected,
    RetryAfter,
    RetryAfterForm,
)
from estsim.scenario.document import parse_document
from estsim.scenario.plan import Scenario
from estsim.server import policy
from estsim.server.assembly import build_gate, tells_overload
from estsim.server.capacity import CapacityGate
from estsim.server.changes import changed
from estsim.server.config import DEFAULT, SandboxConfig, TrustCenterConfig
from estsim.server.draws import DrawKey
from estsim.units import format_duration

IDEAL_VALIDITY_S: Final = 86_400.0
_FORBIDDEN: Final = 403
_NUMBER: Final = Struct("<q")
_KEYS_AT_MOST: Final = 1 << 24  # of a device
_CA_CERTIFICATES: Final = CACertificates(())
_NO_ATTRIBUTES: Final = NoCSRAttributes()
_ISSUED: Final = Issued(None)


class ServerModel(Protocol):
    """What answers the fleet of a dry run. Times passed in never decrease."""

    words: str
    validity_s: float

    def answer(self, operation: Operation, device: int, key: int, attempt: int, now_s: float) -> tuple[Outcome, float]:
        """Return the answer to a request, and when (≥ ``now_s``) it arrives.

        ``key`` numbers the device's keys; ``attempt`` counts its requests with this key, from 0.
        """

    def change(self, changes: Mapping[str, object]) -> str | None:
        """Set values at dotted paths; returns why that is impossible, else None."""


def model_of(scenario: Scenario) -> ServerModel:
    """Return the model of a scenario's server."""
    return IdealServer() if scenario.sandbox is None else SandboxModel(scenario, scenario.sandbox)


class IdealServer:
    """The model of an unknown server: it issues at once."""

    words = f"an ideal server that issues at once, with certificates valid for {format_duration(IDEAL_VALIDITY_S)}"
    validity_s = IDEAL_VALIDITY_S

    def answer(self, operation: Operation, device: int, key: int, attempt: int, now_s: float) -> tuple[Outcome, float]:  # noqa: ARG002 - one shape for all models
        """Issue."""
        if operation is Operation.CACERTS:
            return _CA_CERTIFICATES, now_s
        return (_NO_ATTRIBUTES if operation is Operation.CSRATTRS else _ISSUED), now_s

    def change(self, changes: Mapping[str, object]) -> str | None:  # noqa: ARG002 - the same
        """Refuse: it has nothing to change."""
        return "only a sandbox can be changed"


class SandboxModel:
    """The trust center of the embedded sandbox: its rules and its capacity."""

    def __init__(self, scenario: Scenario, config: SandboxConfig) -> None:
        self._label = scenario.sandbox_label
        self._text, self._source = scenario.sandbox_text, scenario.source
        self._data: dict[str, Any] | None = None  # the parsed configuration, read at the first change
        center = config.centers[self._label or DEFAULT]
        self._http_dates = center.issue.retry_after.form == "http-date"
        self._policy = policy.IssuePolicy(
            center.issue, _gate(center), seed=config.seed, tells_overload=tells_overload(center.capacity)
        )
        self._deferrals: dict[int, Deferred] = {}
        self.validity_s = center.issuer.validity
        self.words = f"the sandbox's rules and capacity (trust center {self._label or DEFAULT})"

    def answer(self, operation: Operation, device: int, key: int, attempt: int, now_s: float) -> tuple[Outcome, float]:
        """Let the policy decide."""
        if operation is Operation.CACERTS:
            return _CA_CERTIFICATES, now_s
        if operation is Operation.CSRATTRS:
            return _NO_ATTRIBUTES, now_s
        draws = DrawKey(device * _KEYS_AT_MOST + key, attempt)  # numbers need no digest
        request = policy.Request(_NUMBER.pack(device), _NUMBER.pack(key), b"", draws)
        verdict = self._policy.decide(request, now_s)
        match verdict:
            case policy.IssueNow():
                self._issued(request)
                return _ISSUED, now_s
            case policy.IssueAt(slot_s):
                self._issued(request)
                return _ISSUED, slot_s
            case policy.ComeAgain(wait_s):
                return self._deferred(wait_s, now_s), now_s
            case policy.TooEarly(status, wait_s):
                if status == _FORBIDDEN:
                    return Rejected(status, "too early"), now_s
                return Overloaded(self._retry_after(wait_s, now_s), status), now_s
            case policy.Overloaded(status, told_s):
                told = NO_RETRY_AFTER if told_s is None else self._retry_after(told_s, now_s)
                return Overloaded(told, status), now_s
            case policy.Denied(reason):
                return Rejected(_FORBIDDEN, reason), now_s

    def change(self, changes: Mapping[str, object]) -> str | None:
        """Change the rules, as in the running sandbox."""
        try:
            data = changed(self._read() if self._data is None else self._data, changes, self._label)
            center = SandboxConfig.model_validate(data).centers[self._label or DEFAULT]
        except (EstsimError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            return str(error)
        self._data = data
        self._http_dates = center.issue.retry_after.form == "http-date"
        self._policy.change(center.issue, _gate(center), tells_overload=tells_overload(center.capacity))
        return None

    def _read(self) -> dict[str, Any]:
        text = self._text
        data = parse_document(self._source, text).root.value if text.strip() else {}
        return data if isinstance(data, dict) else {}

    def _issued(self, request: policy.Request) -> None:
        """Drop a request from the policy; the first with a key cannot have been pending."""
        if request.draws.ordinal:
            self._policy.issued(request)

    def _deferred(self, wait_s: int, now_s: float) -> Deferred:
        """Return a deferral, cached: a herd gets the same one many times."""
        if self._http_dates:
            return Deferred(self._retry_after(wait_s, now_s))
        found = self._deferrals.get(wait_s)
        if found is None:
            found = self._deferrals[wait_s] = Deferred(self._retry_after(wait_s, now_s))
        return found

    def _retry_after(self, wait_s: int, now_s: float) -> RetryAfter:
        """Return a wait as Retry-After; an HTTP-date has whole seconds, rounded up."""
        if self._http_dates:
            return RetryAfter(ceil(now_s + wait_s) - now_s, RetryAfterForm.HTTP_DATE)
        return RetryAfter(float(wait_s), RetryAfterForm.SECONDS)


def _gate(center: TrustCenterConfig) -> CapacityGate | None:
    return None if center.capacity is None else build_gate(center.capacity)
