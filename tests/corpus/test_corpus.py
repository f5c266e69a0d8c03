"""What was made of the corpus is made of it today: every figure of every kind of run, key by key."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus_figures import HERE, figures_text, names, unpacked

KINDS = ("empty", "faults", "herd", "killed", "master", "power-cut", "single", "users", "workers")


def _differences(path: str, kept: Any, made: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(kept, dict) and isinstance(made, dict):
        for key in {**kept, **made}:
            yield from _differences(f"{path}.{key}", kept.get(key), made.get(key))
    elif kept != made:
        yield f"{path}: {json.dumps(kept)[:200]} is now {json.dumps(made)[:200]}"


def test_every_kind_of_run_is_in_it() -> None:
    """With some rows of every sort."""
    assert names() == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_the_figures_of_a_run_are_what_they_were(name: str, tmp_path: Path) -> None:
    """Where one is meant to differ, ``make_corpus.py --figures`` keeps the new one, and the commit says why."""
    kept = json.loads(gzip.decompress((HERE / name / "figures.json.gz").read_bytes()))
    made = json.loads(figures_text(unpacked(name, tmp_path)))
    assert not [*_differences(name, kept, made)]
