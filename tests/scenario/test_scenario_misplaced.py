"""Keys of a cohort that are indented too little are told as such, and as nothing else."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario

HEAD = "version: 1\nduration: 3m\ncohorts:\n"


def _written(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "  meters:\n    devices: 300\n  boot: {burst: 1s}\n",
            ["6:3: cohorts.boot: boot is a cohort's key: indent it under meters"],
        ),
        (
            "  meters:\n  devices: 300\n  boot: {burst: 1s}\n",
            [
                "5:3: cohorts.devices: devices is a cohort's key: indent it under meters",
                "6:3: cohorts.boot: boot is a cohort's key: indent it under meters",
            ],
        ),
        (
            "  a: {devices: 3, boot: {burst: 1s}}\n  b: {devices: 3, boot: {burst: 1s}}\n  renew: off\n  c: {}\n",
            [
                "6:3: cohorts.renew: renew is a cohort's key: indent it under b",
                "7:3: cohorts.c.boot: is missing",
                "7:3: cohorts.c.devices: is missing",
            ],
        ),
        (
            "  devices: 300\n  boot: {burst: 1s}\n",
            ["4:3: cohorts.devices: expected the name of a cohort: write cohorts: {NAME: {devices: …}}"],
        ),
    ],
)
def test_a_key_beside_its_cohort_is_told_where_it_belongs(tmp_path: Path, text: str, told: list[str]) -> None:
    """Its cohort lacks nothing then; without a cohort above it, one is to be named."""
    path = _written(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == told


@pytest.mark.parametrize(
    "text",
    [
        "  a: {devices: 3, boot: {burst: 1s}}\n  network: {devices: 3, boot: {burst: 1s}}\n",
        "  a: {}\n  network: {}\ndefaults: {devices: 3, boot: {burst: 1s}}\n",
    ],
)
def test_a_cohort_may_have_the_name_of_a_key(tmp_path: Path, text: str) -> None:
    """What has devices, its own or by default, is one."""
    assert [cohort.name for cohort in load_scenario(_written(tmp_path, text)).cohorts] == ["a", "network"]


def test_a_comma_that_ends_a_name_or_a_number_is_told(tmp_path: Path) -> None:
    """With the whole of it; in a duplicate key too."""
    path = _written(tmp_path, "  a: {devices: 1,000, boot: {burst: 1s}, subject: CN=a,O=Acme}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == [
        "4:18: cohorts.a.000: a comma ends the value: write devices: 1000",
        '4:56: cohorts.a.O=Acme: a comma ends the value: write subject: "CN=a,O=Acme"',
    ]
    path = _written(tmp_path, "  a: {devices: 1,000,000, boot: {burst: 1s}}\n")
    with pytest.raises(ScenarioError, match=r"; a comma ends a value, write numbers without$"):
        load_scenario(path)


def test_typographic_quotes_in_free_text_are_its_own(tmp_path: Path) -> None:
    """A description may quote."""
    path = _written(tmp_path, "  a: {devices: 3, boot: {burst: 1s}}\ndescription: “What then?”\n")
    assert load_scenario(path).description == "“What then?”"
