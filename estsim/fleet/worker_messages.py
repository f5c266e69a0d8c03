"""What workers say to their master, read from what came: values of the right types and sizes, or LinkRefused. Pure."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from estsim.fleet.link_auth import LinkRefused

_LONGEST_ID: Final = 64


@dataclass(frozen=True, slots=True)
class Joining:
    """A worker joins: ``public_key`` (DER) is that of the manufacturer it could be, whose key stays with it."""

    public_key: bytes

    @classmethod
    def of(cls, content: object) -> "Joining":
        """Read it; raises LinkRefused."""
        match content:
            case {"public_key": bytes(public_key)} if _is_certifiable(public_key):
                return cls(public_key)
        raise LinkRefused("does not contain an EC public key (P-256, SubjectPublicKeyInfo in DER)")


def _is_certifiable(public_key: bytes) -> bool:
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


@dataclass(frozen=True, slots=True)
class TimeAsked:
    """A worker asks the time, at ``sent_s`` of its own wall clock."""

    sent_s: float

    @classmethod
    def of(cls, content: object) -> "TimeAsked":
        """Read it; raises LinkRefused."""
        match content:
            case {"sent_s": sent_s} if _is_number(sent_s):
                return cls(float(sent_s))
        raise LinkRefused("does not contain a valid time")


@dataclass(frozen=True, slots=True)
class ReportOf:
    """A packed worker report of a run, and how far the worker's clock is from the master's."""

    run_id: str
    worker_report: bytes
    offset_s: float | None
    round_trip_s: float | None

    @classmethod
    def of(cls, content: object) -> "ReportOf":
        """Read it; raises LinkRefused."""
        match content:
            case {
                "run_id": str(run_id),
                "parcel": bytes(worker_report),
                "offset_s": offset_s,
                "round_trip_s": round_trip_s,
            }:
                if len(run_id) <= _LONGEST_ID and all(v is None or _is_number(v) for v in (offset_s, round_trip_s)):
                    return cls(run_id, worker_report, offset_s, round_trip_s)
        raise LinkRefused("is not a valid report of a run")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
