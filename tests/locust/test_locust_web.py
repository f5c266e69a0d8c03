"""The Deferral tab of Locust's web UI and the page behind it, looked at in a browser, and tests started from the UI."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest
from locust_runs import Results, WebUI, assert_log_agrees, fleet, runs_in, web_ui

from estsim.fleet.link_secret import VARIABLE

WORDS: Final = "correct horse battery staple"
_CHROMIUM: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1280,1400",
    "--virtual-time-budget=3000",
)  # fmt: skip
_BROWSER_S: Final = 60.0

pytestmark = pytest.mark.long  # a run, a web UI and a browser each


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


def seen(ui: WebUI, path: str, profile: Path) -> str:
    """Return what a browser makes of a page, whose console must have no word to say."""
    command = [browser(), *_CHROMIUM, f"--user-data-dir={profile}", "--dump-dom", f"{ui.url}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BROWSER_S, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


def table(dom: str) -> dict[str, list[str]]:
    """Return the rows of the one table of a page: what is in the first cell, and the others."""
    rows = [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr\b[^>]*>(.*?)</tr>", dom, re.DOTALL)
    ]
    return {first: others for first, *others in rows}


def assert_figures_are_the_run_s(figures: dict[str, list[str]], run: Results) -> None:
    """Check a table against summary.json: it was looked at when the run was over."""
    summary, deferral = run.summary, run.summary["deferral"]
    assert figures["waiting now"][0] == "0"
    assert figures["enrolled"] == ["20 of 20", "operational 20"]
    assert figures["certificates"][0] == str(summary["certificates"]["issued"])
    assert figures["exchanges per certificate"][0] == f"{deferral['exchanges_per_certificate']:.2f}"
    assert figures["exchanges per certificate"][1].startswith(f"{deferral['polls']} polls")
    assert figures["time to certificate"][0].endswith(" s"), figures
    assert figures["early polls"][0] == str(deferral["early_polls"])


def test_deferral_has_its_tab_and_its_page(tmp_path: Path) -> None:
    """Before, during and after a test that the form starts: as the run has it, and no console error anywhere."""
    with web_ui(tmp_path) as ui:
        form = seen(ui, "/", tmp_path / "profile")
        assert "Scenario" in form
        assert "quickstart" in form
        assert "No run yet" in seen(ui, "/deferral", tmp_path / "profile")
        ui.play(fleet(tmp_path))
        (run,) = runs_in(tmp_path)
        tab = table(seen(ui, "/?tab=deferral", tmp_path / "profile"))
        page = seen(ui, "/deferral", tmp_path / "profile")
    assert [*tab][:3] == ["Deferral", "waiting now", "enrolled"]
    assert {"wake-up forecast", "Retry-After", "actual wait", "synchronisation R"} <= tab.keys()
    assert_figures_are_the_run_s(tab, run)
    assert_figures_are_the_run_s(table(page), run)
    assert '<section id="told"' in page
    assert "<svg" in page.split('<section id="told"', 1)[1].split("</section>", 1)[0]
    assert_log_agrees(run)


def test_the_tab_lives_while_devices_wait(tmp_path: Path) -> None:
    """All devices told to come again in some seconds: they wait, and their wake-ups are drawn where they are due."""
    waits = {"issue": {"mode": "deferred", "delay": "3s", "retry_after": {"seconds": 4}}}
    with web_ui(tmp_path, "--autostart", "--scenario", fleet(tmp_path, sandbox=waits)) as ui:
        ui.until("running")
        deadline_s = time.monotonic() + 20
        while int(ui.figures().get("waiting", {"value": "0"})["value"]) < 20:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        figures = ui.figures()
        ui.until("stopped")
    assert re.fullmatch("·{0,4}[▁▂▃▄▅▆▇█]{1,3}·+", figures["wakeups"]["value"])
    assert figures["wakeups"]["note"].startswith("20 in the next 60 s")
    assert figures["enrolled"]["value"] == "0 of 20"
    assert figures["told"]["value"] == "····█" + "·" * 15


def test_the_web_ui_plays_one_scenario_after_another(tmp_path: Path) -> None:
    """Each has a folder of its own, and a clock that begins anew; a scenario that is none is told in Locust's log."""
    (tmp_path / "other").mkdir()
    with web_ui(tmp_path) as ui:
        ui.play(fleet(tmp_path))
        ui.play(fleet(tmp_path / "other", 10, name="other"))
        assert ui.ask("/swarm", {"scenario": "nosuch", "host": ""})
        ui.until("stopped")
        log = ui.ask("/logs")
    first, second = sorted(runs_in(tmp_path), key=lambda run: str(run.summary["run"]["started"]))
    assert (first.summary["run"]["scenario"], first.summary["fleet"]["devices"]) == ("few", 20)
    assert (second.summary["run"]["scenario"], second.summary["fleet"]["devices"]) == ("other", 10)
    for run in (first, second):
        assert run.summary["verdict"] == "passed"
        assert_log_agrees(run)
    assert "no library scenario 'nosuch'" in log


def test_a_base_path_is_the_page_s_too(tmp_path: Path) -> None:
    """Behind a proxy Locust has all its pages below a path."""
    with web_ui(tmp_path, "--web-base-path", "/locust") as ui:
        assert "No run yet" in ui.ask("/locust/deferral")


def test_strangers_at_the_web_ui_see_and_move_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenarios outside, files that name others, hosts and options that nobody gave: refused, and nothing shown."""
    monkeypatch.setenv(VARIABLE, WORDS)
    secret, here = tmp_path / "secret.yaml", tmp_path / "here"
    secret.write_text("root:$6$topsecret:19000:0:99999:7:::\n", encoding="utf-8")
    here.mkdir()
    scenario = fleet(here)
    (here / "link.yaml").symlink_to(secret)
    (here / "including.yaml").write_text(f"include: {secret}\n", encoding="utf-8")
    (here / "broken.yaml").write_text("topsecret: [1\n", encoding="utf-8")
    named = f"version: 1\nduration: 1m\ncohorts: {{m: {{devices: 1, boot: {{trace: {secret}}}}}}}\n"
    (here / "naming.yaml").write_text(named, encoding="utf-8")
    expected = "scenario: expected a file below the working directory or the name of a library scenario"
    with web_ui(here, "--scenario", scenario.name) as ui:
        for name in ("/etc/shadow", str(secret), "../secret.yaml", "link.yaml", "/dev/zero"):
            assert ui.refusal({"scenario": name}).startswith(expected)
        for name in ("including.yaml", "broken.yaml", "naming.yaml"):
            assert "not a valid scenario; run `estsim validate` for details" in ui.refusal({"scenario": name})
        elsewhere = {"scenario": scenario.name, "host": "https://est.attacker.example", "devices": "5000"}
        options = {"i_may_test": "est.attacker.example", "trust": str(secret), "results": str(tmp_path / "elsewhere")}
        told = "host: this process may not test est.attacker.example"
        assert ui.refusal(elsewhere | options).startswith(told)
        assert ui.refusal({**elsewhere, "devices": "1"}).startswith(told)
        ui.play(Path(scenario.name))
        shown = [ui.ask(page) for page in ("/", "/logs", "/tasks", "/exceptions", "/stats/requests", "/stats/report")]
        assert "topsecret" not in "".join(shown)
        assert WORDS not in "".join(shown)
        assert "link_secret" not in shown[0]
    assert [run.summary["verdict"] for run in runs_in(here)] == ["passed"]
    assert not (tmp_path / "elsewhere").exists()
