"""Bring the corpus to the store's version, in place: its runs stay what they were, and their figures with them.

``python tests/corpus/upgrade_corpus.py`` fills the table ``tallies``, which version 7 has, from the rows. The sums and
extremes of histograms become those of their buckets, because that is what reports of version 6 made of the same rows.
"""

import gzip
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "oracle"))

from corpus_figures import HERE, names
from oracle_replay import in_buckets, replayed

from estsim.record.run_reader import RunReader
from estsim.record.slice_packing import slice_bytes
from estsim.record.store import SCHEMA_VERSION
from estsim.report.stored_run import plan_of


def upgrade(path: Path) -> None:
    """Upgrade a store of version 6."""
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("CREATE TABLE tallies (slice, cohort, phase, counts, PRIMARY KEY (slice, cohort, phase))")
        store.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    with closing(RunReader(path)) as run:
        counted = replayed(run, plan_of(run))
    with closing(sqlite3.connect(path)) as store:
        rows = [
            (number, cohort, phase or "", slice_bytes(in_buckets(counts)))
            for (number, cohort, phase), counts in sorted(counted.items(), key=lambda item: item[0][:2])
        ]
        store.executemany("INSERT INTO tallies VALUES (?, ?, ?, ?)", rows)
        store.commit()
        store.execute("VACUUM")


def main() -> None:
    """Upgrade all runs that are of version 6."""
    for name in names():
        packed = HERE / name / "run.sqlite.gz"
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "run.sqlite"
            path.write_bytes(gzip.decompress(packed.read_bytes()))
            with closing(sqlite3.connect(path)) as store:
                (version,) = store.execute("PRAGMA user_version").fetchone()
            if version == SCHEMA_VERSION - 1:
                upgrade(path)
                packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
