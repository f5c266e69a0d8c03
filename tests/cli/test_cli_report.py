"""``estsim report``: a real run, its page read back, the page of a run that was killed, and the page in a browser."""

import json
import os
import re
import shutil
import signal
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from cli_runs import Results, estsim, recorded, results_in, started, until, write_scenario

_CHROMIUM: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1280,6000", "--virtual-time-budget=10000",
)  # fmt: skip
_BROWSER_S: Final = 60.0
DEFERRING: Final = {"issue": {"mode": "deferred", "share": "50%", "delay": "1s..2s", "retry_after": {"seconds": 2}}}
LIVELY: Final = {"boot": {"burst": "1s"}, "retry": {"base": "200ms"}, "renew": "off"}
FAULTY: Final = [{"kind": "wrong_status", "rate": "10%"}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run a small fleet that is deferred and meets faults; the run makes its report."""
    folder = tmp_path_factory.mktemp("report")
    scenario = write_scenario(
        folder,
        sandbox={**DEFERRING, "faults": FAULTY},
        cohorts={"meters": {"devices": 45, **LIVELY}, "pumps": {"devices": 15, **LIVELY}},
        events=[{"at": "2s", "mark": "halfway"}],
    )
    done = estsim("run", scenario, "--results", folder / "results")
    assert done.code in {0, 3}
    found = results_in(folder / "results")
    assert str(found.folder / "report.html") in done.out
    return found


def page_of(run: Results) -> str:
    """Return the text of the page."""
    return (run.folder / "report.html").read_text(encoding="utf-8")


def table(page: str, name: str) -> list[list[str]]:
    """Return a table of the page, row by row, with its heading."""
    text = page.split(f'<table id="{name}">', 1)[1].split("</table>", 1)[0]
    return [[unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in text.split("<tr")[1:]]


def test_figures_are_those_of_the_store(run: Results) -> None:
    """Requests by class, deferrals, polls and errors on the page are what anybody can count in run.sqlite."""
    page = page_of(run)
    heading, *rows = table(page, "operations")
    counted = run.rows(
        "SELECT operation, kind, COUNT(*) FROM exchanges WHERE cause != 'preflight' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    shown = {
        (row[0], kind.replace(" ", "_")): int(cell)
        for row in rows
        for kind, cell in zip(heading[2:], row[2:], strict=True)
        if cell != "0"
    }
    assert shown == {(operation, kind): count for operation, kind, count in counted}
    deferral = dict(table(page, "deferral")[1:])
    assert deferral["deferrals"] == str(run.one("SELECT COUNT(*) FROM exchanges WHERE kind = 'deferred'"))
    assert deferral["polls"] == str(run.one("SELECT COUNT(*) FROM exchanges WHERE poll_form IS NOT NULL"))
    assert deferral["period T"] == "2 s"
    failed = run.one("SELECT COUNT(*) FROM exchanges WHERE kind IN ('server_error', 'malformed', 'rejected', 'failed')")
    assert sum(int(row[-1]) for row in table(page, "errors")[1:]) == failed > 0
    assert f'<strong id="tile-0">{run.summary["certificates"]["verified"]}</strong>' in page


def test_cohorts_add_up_to_the_store(run: Results) -> None:
    """By cohort and in all: requests, and certificates that were verified."""
    rows = {row[0]: row[1:3] for row in table(page_of(run), "cohorts")[1:]}
    counted = run.rows(
        "SELECT cohort, COUNT(*), SUM(kind = 'ok' AND operation LIKE 'simple%') FROM exchanges "
        "WHERE cause != 'preflight' GROUP BY cohort"
    )
    assert {cohort: [str(requests), str(issued)] for cohort, requests, issued in counted} == {
        name: row for name, row in rows.items() if name != "whole run"
    }
    assert int(rows["whole run"][0]) == sum(requests for _, requests, _ in counted)


def test_the_fleet_s_areas_add_up_to_its_devices(run: Results) -> None:
    """At every point of the chart, for the fleet and each cohort; the last is where the store left them."""
    traces = traces_of(page_of(run), "fleet")
    for group, devices in (("all", 60), ("meters", 45), ("pumps", 15)):
        areas = [trace["y"] for trace in traces if trace["meta"] == group]
        assert {sum(point) for point in zip(*areas, strict=True)} == {devices}
    last = run.rows("SELECT states FROM fleet WHERE cohort = 'pumps' ORDER BY second DESC, rowid DESC LIMIT 1")
    at_the_end = {trace["legendgroup"]: trace["y"][-1] for trace in traces if trace["meta"] == "pumps"}
    stored = {state: count for state, count in json.loads(last[0]["states"]).items() if count}
    assert {state: count for state, count in at_the_end.items() if count} == stored


def traces_of(page: str, name: str) -> list[dict[str, Any]]:
    """Return what a chart of the page draws."""
    call = re.search(rf'Plotly\.newPlot\(\s*"chart-{name}",\s*', page)
    assert call is not None
    traces: list[dict[str, Any]]
    traces, _ = json.JSONDecoder().raw_decode(page, call.end())
    return traces


def test_the_store_alone_is_enough(run: Results, tmp_path: Path) -> None:
    """Nothing but run.sqlite: the same tables, the scenario as run, and the thresholds judged again."""
    (tmp_path / "run.sqlite").write_bytes((run.folder / "run.sqlite").read_bytes())
    assert estsim("report", tmp_path).code == 0
    page, whole = (tmp_path / "report.html").read_text(encoding="utf-8"), page_of(run)
    for name in ("operations", "latencies", "cohorts", "errors", "thresholds", "told", "deferral"):
        assert table(page, name) == table(whole, name), name
    scenario = (run.folder / "scenario.yaml").read_text(encoding="utf-8")
    shown = unescape(page.split('<pre id="scenario">', 1)[1].split("</pre>", 1)[0])
    assert shown.split() == scenario.split()


def test_a_run_does_not_fail_for_want_of_a_page(tmp_path: Path) -> None:
    """A limit on the size of files that the page, and nothing else of the run, is above: a line, and no page."""
    done = estsim("run", write_scenario(tmp_path), "--results", tmp_path / "results", limit=("f", 4000))
    assert done.code == 0
    run = results_in(tmp_path / "results")
    assert done.err.startswith(f"estsim: report.html was not created: {run.folder / 'report.html'}: cannot be written")
    assert not [path for path in run.folder.iterdir() if "report" in path.name]
    assert run.summary["verdict"] == "passed"


def test_thresholds_and_verdict_are_the_summary_s(run: Results) -> None:
    """What the run said at its end, the page says too."""
    page, summary = page_of(run), run.summary
    assert [row[1] for row in table(page, "thresholds")[1:]] == [each["expression"] for each in summary["thresholds"]]
    assert [row[0] == "passed" for row in table(page, "thresholds")[1:]] == [
        each["passed"] for each in summary["thresholds"]
    ]
    assert f">{summary['verdict'].upper()}</span>" in page


def test_the_store_is_left_as_it_was(run: Results) -> None:
    """A second report is the same page, with nothing beside it; the store has not changed by a byte."""
    assert estsim("report", run.folder).out.strip() == str(run.folder / "report.html")
    before = (page_of(run), (run.folder / "run.sqlite").read_bytes())
    names = sorted(path.name for path in run.folder.iterdir())
    assert estsim("report", run.folder).code == 0
    assert (page_of(run), (run.folder / "run.sqlite").read_bytes()) == before
    assert sorted(path.name for path in run.folder.iterdir()) == names


class Loads(HTMLParser):
    """Collects what a page would load or lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note every reference of a tag."""
        refers = {"src", "href", "srcset", "data", "action"}
        self.found += [f"{tag} {name}" for name, to in attrs if name in refers and not (to or "").startswith("#")]


def test_the_page_refers_to_no_host(run: Results) -> None:
    """No tag of a real run's page refers to anything outside it; the only addresses in its text are the target's."""
    page = page_of(run)
    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert {*re.findall(r"https?://([^/\"<: ]+)", outside)} <= {"127.0.0.1"}


def test_a_killed_run_has_a_report(tmp_path: Path) -> None:
    """No summary, a log that was never folded in: the page says that the run did not end and shows what was stored."""
    busy = {"devices": 10, "boot": {"burst": "200ms"}, "renew": {"after": "300ms", "times": 500}}
    scenario, results = write_scenario(tmp_path, cohort=busy), tmp_path / "results"
    with started("run", scenario, "--results", results, TMPDIR=str(tmp_path)) as process:
        until(lambda: recorded(results, "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'") > 30)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    run = results_in(results)
    assert not (run.folder / "summary.json").exists()
    done = estsim("report", run.folder)
    assert (done.code, done.err) == (0, "")
    page = page_of(run)
    assert "The run has not ended: it was killed or is still running." in page
    assert [row[0] for row in table(page, "thresholds")[1:]] == ["passed", "passed"]
    # Not of the enrolments: a certificate may have come in the last batch, and its search ended in one never written.
    verified = run.one(
        "SELECT COUNT(*) FROM exchanges WHERE kind = 'ok' AND operation LIKE 'simple%' AND cause != 'preflight'"
    )
    assert f'<strong id="tile-0">{verified}</strong>' in page


def test_what_is_no_run_is_told_and_the_others_are_made(run: Results, tmp_path: Path) -> None:
    """Every run that can be read has its page; exit 2, and a line for the one that cannot."""
    (run.folder / "report.html").unlink()
    done = estsim("report", tmp_path / "none", run.folder)
    assert (done.code, done.out.strip()) == (2, str(run.folder / "report.html"))
    assert done.mistakes == [f"{tmp_path / 'none'}: no such folder"]
    assert (run.folder / "report.html").exists()


def browser() -> str:
    """Return the path of a browser; without one, skip, or fail where peers are required."""
    found = shutil.which("chromium")
    if found is None and os.environ.get("ESTSIM_REQUIRE_PEERS") == "1":
        pytest.fail(
            "needs chromium, which comes with Debian's chromium; ESTSIM_REQUIRE_PEERS=1 lets nothing be skipped"
        )
    if found is None:
        pytest.skip("needs chromium, which comes with Debian's chromium")
    return found


def test_a_browser_draws_every_chart(run: Results, tmp_path: Path) -> None:
    """With no network: the charts are there as SVG with their axis titles, and the console has no error."""
    done = subprocess.run(
        [browser(), *_CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page_uri(run)],
        capture_output=True,
        text=True,
        timeout=_BROWSER_S,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert said == []
    for name in ("rates", "fleet", "latency", "parts", "waits", "punctuality", "raster", "failures", "generator"):
        chart = done.stdout.split(f'id="chart-{name}"', 1)[1].split('<div class="chart">', 1)[0]
        assert 'class="main-svg"' in chart, name
        assert "xtitle" in chart, name
    assert "run time (s)" in done.stdout
    assert "halfway" in done.stdout.split('id="chart-rates"', 1)[1].split('<div class="chart">', 1)[0]
    assert table(done.stdout, "cohorts") == table(page_of(run), "cohorts")


def page_uri(run: Results) -> str:
    """Return where a browser finds the page."""
    return (run.folder / "report.html").absolute().as_uri()
