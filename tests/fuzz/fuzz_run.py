"""Plays inputs by the thousand against estsim, on several cores, and tells what was reached and what is wrong.

    .venv/bin/python tests/fuzz/fuzz_run.py client --inputs 100000
    .venv/bin/python tests/fuzz/fuzz_run.py all --seconds 60
    .venv/bin/python tests/fuzz/fuzz_run.py client --seed 7 --only 1234

An input follows from the seed, the target's name and its number,
so that each can be played again alone. Failures and the
slowest inputs are kept in ``tests/fuzz/.kept`` by number. The exit code is 1 where anything was wrong.
"""

import argparse
import json
import multiprocessing
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import Any, Final

_HERE: Final = Path(__file__).parent
sys.path.insert(0, str(_HERE))

from fuzz_coverage import summary  # noqa: E402 - found beside this file
from fuzz_player import TARGETS, Player, Tally, made  # noqa: E402

_BLOCK: Final = {"client": 100, "sandbox": 100, "readers": 512, "scenarios": 20}
_TRACED: Final = 40  # one block in so many
_KEPT: Final = _HERE / ".kept"
_SILENT_S: Final = 600.0
_TOLD_EVERY_S: Final = 10.0
_SLOWEST_SHOWN: Final = 5
_FAILURES_KEPT: Final = 1000
_KIND_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be played: inputs from ``first`` on, so many or for so long, on so many processes."""

    name: str
    seed: int
    first: int
    inputs: int | None
    seconds: float | None
    workers: int

    def blocks(self, place: int) -> Iterator[tuple[int, range]]:
        """Yield the blocks of one process with their places."""
        size, began_s = _BLOCK[self.name], time.monotonic()
        end = None if self.inputs is None else self.first + self.inputs
        for number in count(place, self.workers):
            at = self.first + number * size
            if (end is not None and at >= end) or (self.seconds and time.monotonic() - began_s > self.seconds):
                return
            yield number, range(at, at + size if end is None else min(at + size, end))


class _Process:
    """One of the processes that play: it takes every so many-th block, and says what each came to."""

    def __init__(self, task: _Task, place: int, context: SpawnContext, said: "Queue[Tally | None]") -> None:
        self.at = context.Value("q", -1)  # the first number of the block that it plays
        self.process = context.Process(target=_play_blocks, args=(task, place, self.at, said), daemon=True)
        self.process.start()


def _play_blocks(task: _Task, place: int, at: Any, said: "Queue[Tally | None]") -> None:  # noqa: ANN401 - a shared number
    player, parent = Player(task.name, task.seed), multiprocessing.parent_process()
    for number, numbers in task.blocks(place):
        if parent is None or not parent.is_alive():  # it was killed, and nobody listens
            return
        at.value = numbers.start
        said.put(player.block(numbers, traced=number % _TRACED == 0))
    said.put(None)


def play(task: _Task) -> Tally:
    """Play it, and tell how it goes; a process that dies or says nothing for long is a failure."""
    context = multiprocessing.get_context("spawn")
    said: Queue[Tally | None] = context.Queue()
    tally, began_s, told_s = Tally(), time.monotonic(), 0.0
    processes = [_Process(task, place, context, said) for place in range(task.workers)]
    left, known = task.workers, set[str]()
    while left:
        try:
            part = said.get(timeout=_SILENT_S)
        except Empty:
            for each in processes:
                if each.process.is_alive() or each.process.exitcode:
                    tally.failures.append((each.at.value, f"the process hangs or died here ({each.process.exitcode})"))
                    each.process.kill()
            break
        if part is None:
            left -= 1
            continue
        tally.add(part)
        _say_new(task, part, known)
        if time.monotonic() - told_s > _TOLD_EVERY_S:
            told_s = time.monotonic()
            _say_progress(task, tally, told_s - began_s)
    _say_progress(task, tally, time.monotonic() - began_s)
    return tally


def _say_new(task: _Task, part: Tally, known: set[str]) -> None:
    """Say of each kind of failure when it is first met, and how to meet it again."""
    for number, problem in part.failures:
        kind = kind_of(problem)
        if kind not in known:
            known.add(kind)
            say(f"{task.name}: --seed {task.seed} --only {number}: {kind}")


def _say_progress(task: _Task, tally: Tally, took_s: float) -> None:
    rate = tally.inputs / took_s if took_s else 0.0
    each_s = tally.cpu_s / tally.inputs if tally.inputs else 0.0
    say(
        f"{task.name}: {tally.inputs} inputs, {tally.steps} messages in {took_s:.0f} s, {rate:.0f}/s"
        f" ({1 / each_s if each_s else 0:.0f} a second of CPU), {len(tally.failures)} failures, {tally.rss_mib:.0f} MiB"
    )


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - a command's output


def told(task: _Task, tally: Tally, *, lines: bool) -> None:
    """Tell what was reached and what is wrong, and keep it."""
    for tag, times in sorted(tally.tags.items()):
        say(f"  {times:9} {tag}")
    if lines:
        for line in summary(tally.reached):
            say(f"  {line}")
    slowest = [f"{number} ({cpu_s * 1000:.0f} ms)" for cpu_s, number in tally.slowest[:_SLOWEST_SHOWN]]
    say(f"{task.name}: slowest in their blocks: {', '.join(slowest)}")
    kinds: dict[str, list[tuple[int, str]]] = {}
    for number, problem in tally.failures:
        kinds.setdefault(kind_of(problem), []).append((number, problem))
    for kind, met in sorted(kinds.items(), key=lambda each: -len(each[1])):
        say(f"{task.name}: {len(met)} times: {kind}")
        say(f"    again: python tests/fuzz/fuzz_run.py {task.name} --seed {task.seed} --only {min(met)[0]}")
    _keep(task, tally)


def kind_of(problem: str) -> str:
    """Return what is the same for problems of a kind: the first line without numbers, or where an error was raised."""
    first, *others = problem.strip().splitlines()
    if others:
        raised = [line.strip(" |") for line in others if line.strip(" |").startswith("File ")]
        last = [line.strip(" |") for line in others if line.strip(" |+-")]
        first = f"{first} {last[-1]} at {raised[-1] if raised else '?'}"
    return re.sub(r"[0-9]+", "#", first)[:_KIND_CHARACTERS]


def _keep(task: _Task, tally: Tally) -> None:
    """Write the failures and the slowest inputs of a run down, by number."""
    _KEPT.mkdir(exist_ok=True)
    path = _KEPT / f"{task.name}-{task.seed}.json"
    kept = {
        "target": task.name,
        "seed": task.seed,
        "inputs": tally.inputs,
        "slowest": [{"number": number, "cpu_ms": round(cpu_s * 1000, 2)} for cpu_s, number in tally.slowest],
        "failures": [{"number": number, "problem": problem} for number, problem in tally.failures[:_FAILURES_KEPT]],
    }
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _only(name: str, seed: int, number: int) -> Tally:
    """Play one input in this process, and tell all of it."""
    tally = Tally()
    with closing(made(name)) as target:
        for report in target.play(seed, range(number, number + 1)):
            tally.report(report)
    for _, problem in tally.failures:
        say(problem)
    return tally


def main() -> int:
    """Play what the command line says; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seed", type=int, default=None, help="another fleet of inputs; by default one that is drawn")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--inputs", type=int, default=None, help="how many inputs of each target")
    parser.add_argument("--seconds", type=float, default=None, help="for how long, all targets together")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--only", type=int, default=None, help="play this one input, in this process")
    parser.add_argument("--lines", action="store_true", help="tell which lines of estsim were reached")
    options = parser.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    names = [*TARGETS] if options.target == "all" else [options.target]
    if options.inputs is None and options.seconds is None and options.only is None:
        parser.error("say --inputs, --seconds or --only")
    say(f"seed {seed}")
    failures = 0
    for name in names:
        if options.only is not None:
            failures += len(_only(name, seed, options.only).failures)
            continue
        seconds = None if options.seconds is None else options.seconds / len(names)
        task = _Task(name, seed, options.first, options.inputs, seconds, options.workers)
        tally = play(task)
        told(task, tally, lines=options.lines)
        failures += len(tally.failures)
    return min(1, failures)


if __name__ == "__main__":
    sys.exit(main())
