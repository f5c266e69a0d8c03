"""Make the corpus anew: runs of every kind, small, with the figures that this code makes of them.

``python tests/corpus/make_corpus.py [NAME…]`` takes about three minutes and writes ``tests/corpus/NAME/``. Run it
only when the store's version changes, on the commit before a change of figures is begun. ``--figures`` makes the
figures alone anew; what then differs is listed in the commit.
"""

import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from corpus_figures import FILES, HERE, figures_text, unpacked

ROOT: Final = HERE.parents[1]
ESTSIM: Final = (sys.executable, "-m", "estsim")
DEADLINE_S: Final = 120.0
Keys = dict[str, Any]

METERS: Final[Keys] = {"subject": "CN=meter-{index:4}", "boot": {"burst": "2s"}, "renew": "off"}
HERD: Final[Keys] = {
    "duration": "30s",
    "until": "settled",
    "sandbox": {
        "capacity": {"rate": "10/s", "burst": 1, "overflow": "defer_forget"},
        "issue": {"retry_after": {"seconds": 2}},
    },
    "cohorts": {"herd": METERS | {"devices": 120, "boot": {"burst": "200ms"}}},
    "thresholds": ["failures < 1%", "enrolled_within.5s >= 99%", "exchanges_per_certificate < 2"],
}
RENEWALS: Final[Keys] = {
    "duration": "12s",
    "sandbox": {"issue": {"mode": "deferred", "share": "30%", "delay": "500ms", "retry_after": {"seconds": 1}}},
    "cohorts": {
        "north": METERS | {"devices": 40, "renew": {"after": "2s", "times": 2, "then": "leave"}},
        "south": METERS | {"devices": 20, "tls": {"keep_alive": "5s", "resume": True}, "enroll": {"cacerts": "always"}},
    },
    "phases": {"warmup": "0s..1s", "busy": "1s..5s"},
    "thresholds": ["simpleenroll.response.p90 < 10s", "renewed_within.5s >= 50%", "busy.failures < 5%"],
}
POWER_CUT: Final[Keys] = {
    "duration": "14s",
    "sandbox": {"issue": {"mode": "deferred", "share": "50%", "delay": "1s", "retry_after": {"seconds": 1}}},
    "cohorts": {"city": METERS | {"devices": 60, "renew": {"after": "1h"}}},
    "events": [
        {"at": "2s", "power_cut": {"cohorts": ["city"], "share": "40%", "off": "1s", "return": {"burst": "1s"}}},
        {"at": "6s", "renew_now": {"cohorts": ["city"], "within": "1s"}},
        {"at": "8s", "mark": "calm again"},
    ],
    "thresholds": ["recovered_within.5s >= 90%", "replaced_within.5s >= 90%"],
}
FAULTS: Final[Keys] = {
    "duration": "12s",
    "sandbox": {
        "faults": [
            {"kind": "reset", "rate": "10%"},
            {"kind": "garbage", "rate": "10%"},
            {"kind": "wrong_status", "rate": "10%"},
            {"kind": "truncated_body", "rate": "10%"},
            {"kind": "latency", "add": "100ms..300ms", "rate": "20%"},
        ]
    },
    "cohorts": {
        "good": METERS | {"devices": 60, "retry": {"base": "200ms", "attempts": 3}},
        "bad": METERS | {"devices": 10, "faults": {"unknown_ca": "50%", "bad_csr_signature": "30%"}},
    },
}
EMPTY: Final[Keys] = {
    "duration": "2s",
    "cohorts": {"calm": {"devices": 3, "start": "operational", "renew": {"after": "1h"}}},
}


def by_estsim(folder: Path, *options: str) -> None:
    """Run the scenario to its end, whatever its verdict."""
    subprocess.run([*ESTSIM, "run", "f.yaml", "--no-dashboard", *options], cwd=folder, check=False, timeout=DEADLINE_S)


def killed(folder: Path) -> None:
    """Kill the run half way through."""
    with subprocess.Popen([*ESTSIM, "run", "f.yaml", "--no-dashboard"], cwd=folder, start_new_session=True) as process:
        time.sleep(6.0)
        os.killpg(process.pid, signal.SIGKILL)


def by_locust(folder: Path, *options: str) -> None:
    """Play the devices as users of one Locust."""
    words = [sys.executable, "-m", "locust", "-f", str(ROOT / "locustfile.py"), "--headless", "--only-summary"]
    subprocess.run([*words, "--scenario", "f.yaml", *options], cwd=folder, check=False, timeout=DEADLINE_S)


def by_workers_of_locust(folder: Path) -> None:
    """Have two workers of ours play the fleet for a Locust master."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    links = ("--master", f"127.0.0.1:{port}")
    workers = [subprocess.Popen([*ESTSIM, "worker", "f.yaml", *links], cwd=folder) for _ in range(2)]
    by_locust(
        folder, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2"
    )
    for worker in workers:
        worker.wait(DEADLINE_S)


RUNS: Final[dict[str, tuple[Keys, Callable[[Path], None]]]] = {
    "single": (RENEWALS, by_estsim),
    "workers": (RENEWALS, lambda folder: by_estsim(folder, "--workers", "2")),
    "master": (RENEWALS, by_workers_of_locust),
    "users": (RENEWALS, by_locust),
    "killed": (RENEWALS, killed),
    "herd": (HERD, by_estsim),
    "power-cut": (POWER_CUT, by_estsim),
    "faults": (FAULTS, by_estsim),
    "empty": (EMPTY, by_estsim),
}


def make(name: str) -> None:
    """Make one run, and keep what is read of it."""
    scenario, play = RUNS[name]
    kept = HERE / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "f.yaml").write_text(
            json.dumps({"version": 1, "name": name, "seed": 7, **scenario}), encoding="utf-8"
        )
        play(folder)
        (run,) = (folder / "results").iterdir()
        with closing(sqlite3.connect(run / "run.sqlite")) as store:
            store.execute("PRAGMA journal_mode = DELETE")
            store.execute("UPDATE run SET value = '{}' WHERE key = 'machine'")  # whose it was is nobody's business
            store.commit()
            store.execute("VACUUM")
        for file in FILES:
            if (run / file).is_file():
                (kept / f"{file}.gz").write_bytes(gzip.compress((run / file).read_bytes(), mtime=0))


def main() -> None:
    """Make what is named, or all."""
    names = [word for word in sys.argv[1:] if word in RUNS] or [*RUNS]
    for name in names:
        if "--figures" not in sys.argv:
            make(name)
        with tempfile.TemporaryDirectory() as place:
            text = figures_text(unpacked(name, Path(place)))
        (HERE / name / "figures.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
