"""The key exchange groups that a fleet offers (docs/tls.md, rule 4)."""

from typing import Final

from estsim.scenario.plan import KeyKind, Scenario

_CURVES: Final = {KeyKind.EC_P256: "p-256", KeyKind.EC_P384: "p-384"}


def groups_offered(scenario: Scenario) -> tuple[str, ...]:
    """Return the scenario's groups and the curve of every key in it, as TLS 1.2 needs (docs/tls.md, rule 4)."""
    kinds = {cohort.key for cohort in scenario.cohorts}
    if scenario.sandbox is not None:
        kinds |= {center.issuer.key for center in scenario.sandbox.centers.values()}
    curves = [_CURVES[kind] for kind in sorted(kinds) if kind in _CURVES]
    return tuple(dict.fromkeys([*scenario.generator.groups, *curves]))
