"""CSR attributes end to end: a fleet that obeys gets certificates where one that only fetches them is refused."""

from pathlib import Path

import pytest
from cli_runs import Keys, assert_books_balance, assert_log_agrees, estsim, results_in, write_scenario

MAC = "1.3.6.1.1.1.1.22"
FORMS: dict[str, Keys] = {
    "list": {"key": "ec-p384", "hash": "sha512", "extensions": {MAC: "0c0141"}},
    "template": {"form": "template", "key": "rsa-2048", "subject": "OU=Meters,CN", "extensions": {MAC: "0c0141"}},
}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
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


TLS: dict[str, Keys] = {
    "1.2, full handshakes": {"versions": "1.2..1.2"},
    "1.2, resumed": {"versions": "1.2..1.2", "resume": True},
    "1.3, resumed": {"versions": "1.3..1.3", "resume": True},
    "1.3, kept open": {"versions": "1.3..1.3", "keep_alive": "10s"},
}


@pytest.mark.parametrize(
    "tls", [each if "resumed" in each else pytest.param(each, marks=pytest.mark.long) for each in TLS]
)
def test_requests_are_linked_to_their_tls_sessions(tls: str, tmp_path: Path) -> None:
    """RFC 7030 §3.5, required: first enrolment, polls of a deferred one, and re-enrolment, each on its own session."""
    scenario = write_scenario(
        tmp_path,
        sandbox={
            "csrattrs": {"pop": True, "required": True},
            "issue": {"mode": "deferred", "delay": "200ms", "retry_after": {"seconds": 1}},
        },
        cohort={
            "tls": TLS[tls],
            "enroll": {"csrattrs": "fetch"},
            "renew": {"after": "500ms", "times": 1, "then": "leave"},
        },
    )
    done = estsim("run", scenario, "--results", tmp_path / "results")
    run = results_in(tmp_path / "results")
    assert done.code == 0, done.err
    assert run.summary["certificates"]["verified"] == 10
    assert run.summary["operations"]["simplereenroll"]["deferred"] == 5
    resumed = run.one("SELECT SUM(resumed) FROM exchanges WHERE operation = 'simpleenroll'")
    assert (resumed > 0) is ("resumed" in tls)
    assert_log_agrees(run)


def test_a_request_that_is_not_linked_is_refused_where_that_is_required(tmp_path: Path) -> None:
    """``pop: never`` says so; ``pop: always`` needs no CSR attributes."""
    for pop, code in (("never", 3), ("always", 0)):
        (tmp_path / pop).mkdir()
        scenario = write_scenario(
            tmp_path / pop,
            sandbox={"csrattrs": {"pop": True, "required": True}},
            cohort={"enroll": {"pop": pop}, "retry": {"attempts": 1}},
        )
        assert estsim("run", scenario, "--results", tmp_path / pop / "results").code == code
    run = results_in(tmp_path / "never" / "results")
    (detail,) = run.rows("SELECT DISTINCT detail FROM exchanges WHERE operation = 'simpleenroll'")
    assert (
        detail["detail"] == "400 expected a challengePassword that links the request to its TLS session (see csrattrs)"
    )
