"""A short slice of every fuzz target, always the same: nothing that a peer or a file says is an error of estsim's."""

from collections import Counter
from contextlib import closing

import pytest
from fuzz_player import made

SEED = 20261130


@pytest.mark.parametrize(("name", "inputs"), [("client", 80), ("sandbox", 120), ("readers", 1000), ("scenarios", 40)])
def test_a_slice_holds(name: str, inputs: int) -> None:
    """Each input ends in what is declared for it, and leaves what it has to leave."""
    with closing(made(name)) as target:
        reports = list(target.play(SEED, range(inputs)))
    assert len(reports) == inputs
    assert [(report.number, report.problems) for report in reports if report.problems] == []
    reached = Counter(tag for report in reports for tag in report.tags)
    assert len(reached) >= 20, reached


def test_an_input_is_the_same_alone() -> None:
    """By its number it can be played again without those before it."""

    def played(name: str, numbers: range) -> list[tuple[int, int, list[str]]]:
        with closing(made(name)) as target:
            return [(report.number, report.steps, report.tags) for report in target.play(SEED, numbers)]

    for name in ("client", "sandbox", "readers"):
        assert played(name, range(20, 24))[2:3] == played(name, range(22, 23))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("client", "estsim.device.exchange.read_response"),
        ("client", "estsim.fleet.ledger.is_end_expected"),
        ("sandbox", "estsim.server.admission.read_csr"),
        ("readers", "estsim.est.certificate.read_name"),
        ("scenarios", "estsim.scenario.loader.plan_scenario"),
    ],
)
def test_a_bug_is_found(name: str, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody has declared, wherever it is raised, is a problem of an input."""

    def fail(*_: object, **__: object) -> object:
        raise RuntimeError("injected")

    with closing(made(name)) as target:
        monkeypatch.setattr(broken, fail)
        reports = list(target.play(SEED, range(40)))
    found = [problem for report in reports for problem in report.problems]
    assert [problem for problem in found if "injected" in problem]
