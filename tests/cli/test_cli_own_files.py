"""Devices with files of their own, as their user meets them: validated, run, and found again by name."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cli_runs import Keys, estsim, results_in, write_scenario
from device_files import DeviceMaker, acme

FILES: Keys = {"bootstrap": {"kind": "files", "path": "pki"}, "devices": 2}
TRUSTING: Keys = {"clients": {"bootstrap_cas": ["maker.crt"]}}


def _delivered(folder: Path) -> DeviceMaker:
    """Write the files of two devices, whose names are in another order than their Subjects."""
    maker = DeviceMaker.made(folder)
    maker.write(folder / "pki" / "dev1.crt", acme("SN-0002"))
    maker.write(folder / "pki" / "dev2.crt", acme("SN-0001"))
    return maker


def _ran(folder: Path, *options: str, **keys: Keys | list[Keys]) -> Path:
    """Run the devices and return the folder of the results."""
    done = estsim("run", write_scenario(folder, cohort=FILES, **keys), "--results", folder / "results", *options)
    assert done.code in (0, 1), done.err
    return results_in(folder / "results").folder


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a run with two workers."""
    folder = tmp_path_factory.mktemp("own")
    _delivered(folder)
    return _ran(folder, "--workers", "2", sandbox=TRUSTING)


@pytest.mark.parametrize("name", ["1", "SN-0001", "O=Acme,CN=SN-0001", "dev2", "dev2.crt"])
def test_a_device_is_found_by_its_names_and_its_file(run: Path, name: str) -> None:
    """Its story begins with all of them."""
    done = estsim("device", run, name)
    file = run.parents[1] / "pki" / "dev2.crt"
    head = ["device 1 of cohort meters", "CN=SN-0001,O=Acme", f"bootstrap certificate {file}"]
    assert "".join(done.out.splitlines()[:5]).replace(" ", "").startswith("".join(head).replace(" ", "")), done.out


def test_a_folder_that_has_changed_says_nothing_of_a_run(tmp_path: Path) -> None:
    """Which device had which file is not known any more; what was recorded is."""
    maker = _delivered(tmp_path)
    run = _ran(tmp_path, sandbox=TRUSTING)
    maker.write(tmp_path / "pki" / "another.crt", acme("SN-0009"))
    done = estsim("device", run, "SN-0001")
    assert done.out.splitlines()[1] == "CN=SN-0001,O=Acme"
    assert "certificate" not in done.out.splitlines()[2]
    assert estsim("device", run, "dev2").code == 2


def test_a_device_without_a_certificate_is_found_by_the_one_in_its_file(tmp_path: Path) -> None:
    """Nothing of its name is in the store of a server that took none of them."""
    _delivered(tmp_path)
    expect = [{"cohorts": ["meters"], "outcomes": ["rejected", "unauthorized", "failed"]}]
    run = _ran(tmp_path, expect=expect)
    with closing(sqlite3.connect(run / "run.sqlite")) as store:
        assert store.execute("SELECT COUNT(*) FROM enrolments WHERE subject IS NOT NULL").fetchone() == (0,)
    assert estsim("device", run, "SN-0001").out.startswith("device 1 of cohort meters")
