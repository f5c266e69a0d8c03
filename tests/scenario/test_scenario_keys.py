"""Keys that will not be made in time are reported before the run, with what to say instead."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Keys

HEAD = "version: 1\nduration: 10m\n"


def _load(folder: Path, text: str) -> object:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_scenario(path).cohorts[0].keys


def _told(folder: Path, text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        _load(folder, text)
    return str(caught.value).replace(f"{folder}/", "")


def _fleet(keys: str) -> str:
    return f"cohorts:\n  a: {{devices: 1000, key: rsa-2048, {keys}}}\n"


def test_a_burst_of_rsa_keys_is_told_with_what_helps(tmp_path: Path) -> None:
    """How many, in what time, how many can be made, and three ways out of it."""
    assert _told(tmp_path, _fleet("boot: {burst: 5s}, renew: off")) == (
        "fleet.yaml:4:22: cohorts.a.key: 1000 devices need a rsa-2048 key within 10 s, about 40 can be generated in "
        "that time: use keys: {prepare: 1000} or {reuse: 100}, or key: ec-p256"
    )


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ("boot: {burst: 5s}, keys: {prepare: 1000}", Keys(prepare=1000)),
        ("boot: {burst: 5s}, keys: {prepare: 960}", Keys(prepare=960)),
        ("boot: {burst: 5s}, keys: {reuse: 10}", Keys(reuse=10)),
        ("boot: {rate: 3/s, shape: even}", Keys()),
        ("boot: {stations: 8}", Keys()),
    ],
)
def test_keys_that_are_there_in_time_are_taken(tmp_path: Path, keys: str, meant: Keys) -> None:
    """Prepared, nearly all of them; used again; needed slowly; or waited for by a station."""
    assert _load(tmp_path, _fleet(f"{keys}, renew: off")) == meant


def test_one_key_too_few_prepared_is_told(tmp_path: Path) -> None:
    """As many may be missing as can be made in the busiest ten seconds, and no more."""
    told = _told(tmp_path, _fleet("boot: {burst: 5s}, renew: off, keys: {prepare: 959}"))
    assert "41 devices need a rsa-2048 key within 10 s, about 40 can be generated in that time" in told


def test_keys_of_curves_are_always_there_in_time(tmp_path: Path) -> None:
    """They take a twentieth of a millisecond."""
    assert _load(tmp_path, _fleet("boot: {at_once: true}").replace("rsa-2048", "ec-p384")) == Keys()


@pytest.mark.parametrize(
    ("renew", "sandbox"),
    [
        ("{after: 20s}", ""),
        ("{at: 50%}", "sandbox: {issuer: {validity: 40s}}\n"),
        ("{at: 50%, lifetime_scale: 2160}", ""),
    ],
)
def test_renewals_need_keys_as_well(tmp_path: Path, renew: str, sandbox: str) -> None:
    """With a new key each, so often as the certificate's life says; not with the key that is there."""
    slow = "boot: {rate: 3/s, shape: even}"
    assert "within 10 s, about 40 can be generated" in _told(tmp_path, sandbox + _fleet(f"{slow}, renew: {renew}"))
    kept = renew.replace("{", "{rekey: false, ")
    assert _load(tmp_path, sandbox + _fleet(f"{slow}, renew: {kept}")) == Keys()


def test_devices_in_service_need_keys_to_renew(tmp_path: Path) -> None:
    """As they come of age, and when they are ordered to."""
    served = _fleet("start: operational, renew: {at: 80%}")
    assert _load(tmp_path, served) == Keys()
    assert "rsa-2048 key within" in _told(tmp_path, "sandbox: {issuer: {validity: 2m}}\n" + served)
    told = _told(tmp_path, f"{served}events: [{{at: 1m, renew_now: {{cohorts: [a], share: 50%, within: 5s}}}}]\n")
    assert "500 devices need a rsa-2048 key within 10 s" in told
    spread = f"{served}events: [{{at: 1m, renew_now: {{cohorts: [a], share: 20%, within: 5m}}}}]\n"
    assert _load(tmp_path, spread) == Keys()


def test_cohorts_of_one_kind_share_the_core(tmp_path: Path) -> None:
    """Each alone would do; together they are reported once, in the defaults that all have it from."""
    fleet = (
        "defaults: {devices: 100, key: rsa-2048, boot: {rate: 1/s, shape: even}}\ncohorts: {a: , b: , c: , d: , e: }\n"
    )
    told = _told(tmp_path, fleet)
    assert told == (
        "fleet.yaml:3:26: defaults.key: 50 devices need a rsa-2048 key within 10 s, about 40 can be generated in that "
        "time: use keys: {prepare: 100} or {reuse: 100}, or key: ec-p256"
    )
    _load(tmp_path, fleet.replace(", d: , e: ", ""))


def test_keys_are_not_used_again_where_they_are_all_that_tells_devices_apart(tmp_path: Path) -> None:
    """Without a credential each, two devices with one key are one to the server; nor is it proposed."""
    told = _told(tmp_path, _fleet("boot: {burst: 5m}, renew: off, keys: {reuse: 10}, bootstrap: {kind: none}"))
    assert (
        "cohorts.a.keys.reuse: with bootstrap: {kind: none} the server distinguishes devices only by their keys" in told
    )
    told = _told(tmp_path, _fleet("boot: {burst: 5s}, renew: off, bootstrap: {kind: none}"))
    assert "use keys: {prepare: 1000}, or key: ec-p256" in told


def test_what_could_not_be_read_is_not_reckoned_with(tmp_path: Path) -> None:
    """A broken boot is reported, and nothing that would follow from another one."""
    told = _told(tmp_path, _fleet("boot: {burst: soon}"))
    assert len(told.splitlines()) == 1
    assert "boot.burst: expected a duration" in told
