"""Paths as servers have them, for every driver: what the scenario writes goes on the wire, and is shown."""

import html
from pathlib import Path
from typing import Final

import pytest
from foreign_pki import ForeignCA
from foreign_runs import DRIVERS, assert_issued, play_against, run_against
from odd_server import BASE, est_server, odd_server

# A prefix, several segments, and every character that RFC 3986 §3.3 has beside the usual; ":key:" is an emoji to some.
PATH: Final = "/ejbca/a%20b/.well-known/est/My%20CA/ca:3/ca%3A3/x;y=1,2/(z)*'!$&+=@:key:"


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_path_goes_out_as_written(driver: str, tmp_path: Path) -> None:
    """No driver normalises anything."""
    with odd_server(est_server(ForeignCA()), tmp_path) as server:
        played = await play_against(driver, server, tmp_path, devices=1, url=server.origin + PATH)
        assert [asked.path for asked in server.asked] == [f"{PATH}/cacerts", f"{PATH}/simpleenroll"]
    assert [row[2] for row in played.story[0]] == ["ok", "ok"]


def test_a_path_is_shown_as_written(tmp_path: Path) -> None:
    """In summary.json, in the report, and where the preflight fails."""
    with odd_server(est_server(ForeignCA()), tmp_path) as server:
        url = f"{server.origin}{PATH}"
        run = run_against(server, tmp_path / "run", devices=1, url=url)
    assert_issued(run)
    assert run.results is not None
    assert run.results.summary["run"]["target"] == url
    report = (run.results.folder / "report.html").read_text(encoding="utf-8")
    assert html.escape(url) in report
    nobody = run_against(server, tmp_path / "nobody", devices=1, url=url)
    assert nobody.code == 5
    assert f"preflight to {url} failed" in nobody.done.err


def test_a_label_may_be_several_segments(tmp_path: Path) -> None:
    """`target.label` is the same as the end of the URL."""
    with odd_server(est_server(ForeignCA()), tmp_path) as server:
        run = run_against(server, tmp_path, devices=1, target={"label": "subca/ca:3"})
        assert {asked.path.rpartition("/")[0] for asked in server.asked} == {f"{BASE}/subca/ca:3"}
    assert_issued(run)
