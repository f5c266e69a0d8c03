"""The assignment: all that a process needs to play its part of a fleet, from whoever leads the run.

It goes to worker processes on this machine and to workers of a Locust master on others. Private keys go through a pipe
on this machine only: for a worker elsewhere the leader certifies a manufacturer of its own (its ``branch``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from estsim.errors import EstsimError, UsageError
from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import read_certificate
from estsim.est.signing import PrivateKey
from estsim.fleet.host import Host, factory_of
from estsim.fleet.part import WHOLE, Part
from estsim.fleet.trust import Trust
from estsim.pki.keys import belongs, dump_key, load_key
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.behaviours import NO_CODE, CodeAccess
from estsim.scenario.plan import FileAuthority, Scenario
from estsim.scenario.portable import fingerprint, load_portable, portable_text
from estsim.scenario.target_url import parse_url
from estsim.units import harmless, shown

VERSION: Final = 1
_LONGEST_WORDS: Final = 200


class AssignmentError(EstsimError):
    """A assignment that cannot be followed: of another version, garbled, or of a plan that reads differently here."""


@dataclass(frozen=True, slots=True)
class Maker:
    """A manufacturer's certificates as DER, its own first; ``key`` is its private key as DER where it may be sent."""

    certificates: tuple[bytes, ...]
    key: bytes | None = field(default=None, repr=False)

    @classmethod
    def whole(cls, factory: ManufacturerCA) -> "Maker":
        """Return a manufacturer with its key."""
        own = factory.certificate.der
        return cls((own, *factory.chain), dump_key(factory.key))

    @classmethod
    def branch(cls, factory: ManufacturerCA, public_key_der: bytes, name: str, *, ends_in_s: float) -> "Maker":
        """Return a manufacturer below another one, for a process elsewhere that has the key, valid for so long."""
        return cls((factory.branch(public_key_der, name, ends_in_s=ends_in_s).der, *factory.chain))

    def factory(self, own_key: PrivateKey | None) -> ManufacturerCA:
        """Return the manufacturer with its key, or with ``own_key``: then devices show its certificate as well."""
        certificate = read_certificate(self.certificates[0])
        if self.key is not None:
            return ManufacturerCA(certificate, load_key(self.key), self.certificates[1:])
        if own_key is None or not belongs(own_key, certificate):
            raise AssignmentError("received a manufacturer's certificate without its key")
        return ManufacturerCA(certificate, own_key, self.certificates)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one process is to play, against which server, as whom.

    ``text`` is the scenario (:mod:`estsim.scenario.portable`). ``makers`` are by the authority's name, empty for the
    sandbox's own. ``wall_epoch_s`` is the run's zero in UNIX seconds by the leader's clock, ``mono_epoch_ns`` the same
    by the monotonic clock that processes of one machine share. ``pki`` is a folder on this machine, or None.
    """

    run_id: str
    text: str = field(repr=False)
    url: str
    anchors: tuple[bytes, ...]
    explicit: bool
    makers: Mapping[str, Maker] = field(default_factory=dict)
    part: Part = WHOLE
    wall_epoch_s: float = 0.0
    mono_epoch_ns: int | None = None
    pki: str | None = None

    def packed(self) -> dict[str, Any]:
        """Return plain maps, lists and bytes, for msgpack."""
        return {
            "version": VERSION,
            "run_id": self.run_id,
            "text": self.text,
            "sha256": fingerprint(self.text),
            "url": self.url,
            "anchors": [*self.anchors],
            "explicit": self.explicit,
            "makers": {name: [[*maker.certificates], maker.key] for name, maker in self.makers.items()},
            "part": [self.part.slot, self.part.of],
            "wall_epoch_s": self.wall_epoch_s,
            "mono_epoch_ns": self.mono_epoch_ns,
            "pki": self.pki,
        }

    @classmethod
    def unpacked(cls, packed: object) -> "Assignment":
        """Return the assignment of maps that came from elsewhere; raises AssignmentError for anything else."""
        try:
            return _assignment(packed)
        except AssignmentError:
            raise
        except Exception as error:  # whatever comes in its place
            words = harmless(str(error)[:_LONGEST_WORDS])
            raise AssignmentError(f"not a briefing: {type(error).__name__}: {words}") from error

    def scenario(self, *, source: Path, own: Scenario | None = None, code: CodeAccess = NO_CODE) -> Scenario:
        """Return the plan, its files in the folder of ``source``, its passwords those of ``own`` where masked.

        Raises ScenarioError, and AssignmentError where this estsim reads the text to another plan than the leader's.
        """
        scenario = load_portable(self.text, source=source, own=own, code=code)
        here, theirs = fingerprint(portable_text(scenario)), fingerprint(self.text)
        if own is not None and here != theirs:
            raise AssignmentError(
                f"the scenario differs from the master's (sha256 {here[:12]} here, {theirs[:12]} on the master)"
            )
        return scenario

    def host(self, scenario: Scenario, *, own_key: PrivateKey | None = None) -> Host:
        """Return the server and its devices' makers; authorities of files are read here. Raises UsageError."""
        authorities = CertificateAuthorities(map(read_certificate, self.anchors))
        trust = Trust(self.anchors, explicit=self.explicit, authorities=authorities if self.explicit else None)
        factories: dict[str | None, ManufacturerCA] = {
            name or None: maker.factory(own_key) for name, maker in self.makers.items()
        }
        for name, authority in scenario.authorities.items():
            if name not in factories and isinstance(authority, FileAuthority):
                factories[name] = factory_of(authority)
            elif name not in factories:
                raise UsageError(
                    f"authorities.{name}: the briefing lacks this authority, which is generated for the run"
                )
        return Host(scenario, parse_url(self.url), trust, factories, Path(self.pki) if self.pki else None)


def _assignment(packed: Any) -> Assignment:  # noqa: ANN401 - whatever came
    if packed["version"] != VERSION:
        raise AssignmentError(f"a briefing of version {shown(packed['version'])} (expected {VERSION})")
    if fingerprint(packed["text"]) != packed["sha256"]:
        raise AssignmentError("the scenario does not match its hash: it was modified in transit")
    slot, of = packed["part"]
    return Assignment(
        run_id=str(packed["run_id"]),
        text=packed["text"],
        url=str(packed["url"]),
        anchors=tuple(packed["anchors"]),
        explicit=bool(packed["explicit"]),
        makers={str(name): Maker(tuple(chain), key) for name, (chain, key) in packed["makers"].items()},
        part=Part(int(slot), int(of)),
        wall_epoch_s=float(packed["wall_epoch_s"]),
        mono_epoch_ns=packed["mono_epoch_ns"],
        pki=packed["pki"],
    )


def assignments_of(host: Host, run_id: str, workers: int) -> list[Assignment]:
    """Return the assignments of worker processes on this machine, passwords and keys in."""
    text = portable_text(host.scenario, passwords=True)
    makers = {name or "": Maker.whole(factory) for name, factory in host.factories.items()}
    return [
        Assignment(
            run_id,
            text,
            str(host.url),
            host.trust.anchors,
            explicit=host.trust.explicit,
            makers=makers,
            part=Part(slot, workers),
            pki=None if host.pki is None else str(host.pki),
        )
        for slot in range(workers)
    ]
