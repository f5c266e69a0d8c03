"""Whom a fleet may load, and that a server does not decide it."""

from pathlib import Path

import pytest

from estsim.errors import UsageError
from estsim.fleet.permission import require_permission
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario


def plan(folder: Path, devices: int, target: str) -> Scenario:
    """Read a scenario of so many devices."""
    path = folder / "fleet.yaml"
    path.write_text(
        f"version: 1\nduration: 10m\ntarget: {{trust: system, {target}}}\n"
        f"cohorts: {{a: {{devices: {devices}, boot: {{burst: 5s}}, bootstrap: {{kind: none}}}}}}\n",
        encoding="utf-8",
    )
    return load_scenario(path)


@pytest.mark.parametrize(
    ("devices", "target", "authorised"),
    [
        (101, "url: 'https://127.0.0.1'", None),
        (100, "url: 'https://h.example'", None),
        (101, "url: 'https://h.example'", "h.example"),
        (101, "url: 'https://h.example', authorised_by: us", None),
        (100, "url: 'https://h.example', redirects: any", None),
        (101, "url: 'https://127.0.0.1', redirects: any, authorised_by: us", None),
    ],
)
def test_who_may(devices: int, target: str, authorised: str | None, tmp_path: Path) -> None:
    """This machine, few devices, a host that the user names, and where somebody answers for it."""
    require_permission(plan(tmp_path, devices, target), authorised)


@pytest.mark.parametrize(
    ("target", "authorised", "said"),
    [
        ("url: 'https://h.example'", None, "against h.example, which is not this machine"),
        ("url: 'https://h.example'", "other", "against h.example"),
        ("url: 'https://h.example', redirects: any", "h.example", "may be redirected to any host"),
        ("url: 'https://127.0.0.1', redirects: any", None, "may be redirected to any host"),
    ],
)
def test_who_may_not(target: str, authorised: str | None, said: str, tmp_path: Path) -> None:
    """A host that nobody answers for, and whatever hosts a redirect may name."""
    with pytest.raises(UsageError, match=said):
        require_permission(plan(tmp_path, 101, target), authorised)
