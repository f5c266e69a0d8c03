"""Device keys as a sandbox sees them: prepared before the run, going round, or made on demand."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from engine_kit import Server, cohort, sandbox

from estsim.engine.keys import prepare_keys
from estsim.est.signing import PrivateKey
from estsim.fleet.keys import KeyRing, take_key
from estsim.net.io_trio import TRIO
from estsim.pki.keys import load_key
from estsim.scenario.plan import KeyKind, Keys, NoBootstrap

MS: Final = 1_000_000


def keys_of(server: Server) -> list[bytes]:
    """Return the hash of the key of every certificate that the sandbox has issued."""
    with closing(sqlite3.connect(server.here.database)) as log:
        return [key for (key,) in log.execute("SELECT key_hash FROM issued")]


def public_key_hash(key: PrivateKey) -> bytes:
    """Return a key's hash as the sandbox has it."""
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


async def test_a_few_keys_go_round(tmp_path: Path) -> None:
    """Six certificates, two keys, three times each."""
    async with sandbox(tmp_path) as server:
        made = server.rig(replace(cohort(6), keys=Keys(reuse=2)))
        await made.shard.run(until_settled=True)
        keys = Counter(keys_of(server))
    assert sorted(keys.values()) == [3, 3]


async def test_prepared_keys_are_used_and_then_keys_are_made(tmp_path: Path) -> None:
    """A device that finds its key ready hardly waits for it; the last one does."""
    async with sandbox(tmp_path) as server:
        made = server.rig(replace(cohort(3, key=KeyKind.RSA_2048, bootstrap=NoBootstrap()), keys=Keys(prepare=2)))
        await prepare_keys(run.keys for run in made.runs)
        await made.shard.run(until_settled=True)
    waits = sorted(sample.stamps.key_wait_ns for sample in made.recorder.samples)
    assert waits[1] < min(20 * MS, waits[2])


async def test_each_prepared_key_is_certified_once(tmp_path: Path) -> None:
    """As the sandbox sees it; beyond them keys are made."""
    async with sandbox(tmp_path) as server:
        made = server.rig(replace(cohort(4), keys=Keys(prepare=3)))
        await prepare_keys(run.keys for run in made.runs)
        prepared = {public_key_hash(load_key(der)) for der in made.runs[0].keys._ready}
        await made.shard.run(until_settled=True)
        certified = keys_of(server)
    assert len(prepared) == 3
    assert prepared < set(certified)
    assert len(set(certified)) == len(certified) == 4


async def test_keys_that_go_round_are_as_many_as_told() -> None:
    """Also where several devices ask for the first ones at a time, and they take long to make."""
    ring = KeyRing(KeyKind.RSA_2048, Keys(reuse=2))
    taken: list[PrivateKey] = []

    async def ask() -> None:
        taken.append(await take_key(ring, TRIO))

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(ask)
    assert sorted(Counter(map(id, taken)).values()) == [3, 3]


async def test_slow_keys_of_births_are_prepared_too() -> None:
    """In threads; what is left is for the requests, in the order of need."""
    ring = KeyRing(KeyKind.RSA_2048, Keys(prepare=1), births=2)
    await prepare_keys([ring])
    await prepare_keys([ring])  # once is enough
    assert len(ring._ready) == 3
    keys = [ring.born(), ring.born(), await take_key(ring, TRIO)]
    assert len({public_key_hash(key) for key in keys}) == 3
    assert len(ring._ready) == 0


async def test_quick_keys_of_births_are_not() -> None:
    """They cost less than the keeping."""
    ring = KeyRing(KeyKind.EC_P256, Keys(prepare=600), births=100)
    await prepare_keys([ring])
    assert len(ring._ready) == 600
