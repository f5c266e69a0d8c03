"""CSR attributes end to end: a fleet that obeys gets certificates where one that only fetches them is refused."""

from pathlib import Path

import pytest
from cli_runs import Keys, assert_books_balance, assert_log_agrees, estsim, results_in, write_scenario

MAC = "1.3.6.1.1.1.1.22"
FORMS: dict[str, Keys] = {
    "list": {"key": "ec-p384", "hash": "sha512", "extensions": {MAC: "0c0141"}},
    "template": {"form": "template", "key": "rsa-2048", "subject": "OU=Meters,CN", "extensions": {MAC: "0c0141"}},
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_a_fleet_obeys_what_the_server_requires(form: str, workers: int, tmp_path: Path) -> None:
    """Fetched once by each device; the re-enrolment keeps the names and fulfils the rest."""
    scenario = write_scenario(
        tmp_path,
        sandbox={"csrattrs": {**FORMS[form], "required": True}},
        cohort={
            "subject": "CN=meter-{index}",
            "enroll": {"csrattrs": "obey"},
            "renew": {"after": "500ms", "times": 1, "then": "leave"},
        },
    )
    done = estsim("run", scenario, "--results", tmp_path / "results", "--workers", str(workers))
    run = results_in(tmp_path / "results")
    assert done.code == 0, done.err
    assert run.summary["certificates"]["verified"] == 10
    assert run.summary["operations"]["csrattrs"]["ok"] == 5
    assert_log_agrees(run)
    assert_books_balance(run)


def test_a_fleet_that_only_fetches_them_says_what_it_does_not_fulfil(tmp_path: Path) -> None:
    """In the row of the csrattrs exchange; the server's refusal says the same."""
    scenario = write_scenario(
        tmp_path,
        sandbox={"csrattrs": {"key": "ec-p384", "required": True}},
        cohort={"enroll": {"csrattrs": True}, "retry": {"attempts": 1}},
    )
    assert estsim("run", scenario, "--results", tmp_path / "results").code == 3
    rows = results_in(tmp_path / "results").rows(
        "SELECT DISTINCT operation, kind, detail FROM exchanges WHERE cause != 'preflight'"
    )
    told = {row["operation"]: (row["kind"], row["detail"]) for row in rows}
    assert told["csrattrs"] == ("ok", "not obeyed: key ec-p384")
    assert told["simpleenroll"] == ("rejected", "400 expected a key of ec-p384 (got ec-p256; see csrattrs)")
