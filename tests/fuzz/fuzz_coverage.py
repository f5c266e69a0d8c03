"""Which lines of estsim a run of the fuzzer reaches: a tracer for a sample of the inputs, since it makes each slow."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import estsim

_ROOT: Final = f"{Path(estsim.__file__).parent}/"

KeptConnections = set[tuple[str, int]]


@contextmanager
def tracing(reached: KeptConnections) -> Iterator[None]:
    """Note each line of estsim that runs in this thread."""

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401 - as sys.settrace has it
        name = frame.f_code.co_filename
        if not name.startswith(_ROOT):
            return None
        if event == "line":
            reached.add((name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def summary(reached: KeptConnections) -> list[str]:
    """Return a line for each module that was reached: its lines within functions, and how many of them ran."""
    modules: dict[str, set[int]] = {}
    for name, line in reached:
        modules.setdefault(name, set()).add(line)
    return [_told(name, lines) for name, lines in sorted(modules.items())]


def _told(name: str, lines: set[int]) -> str:
    inside = _lines_in_functions(name)
    missed = sorted(inside - lines)
    share = len(inside & lines) / len(inside) if inside else 1.0
    return f"{share:5.0%} of {len(inside):4} {name.removeprefix(_ROOT)}" + (
        f"  not {_ranges(missed)}" if missed else ""
    )


def _lines_in_functions(name: str) -> set[int]:
    module = compile(Path(name).read_bytes(), name, "exec")
    found: set[int] = set()
    waiting = [each for each in module.co_consts if isinstance(each, CodeType)]
    while waiting:
        code = waiting.pop()
        nested = [each for each in code.co_consts if isinstance(each, CodeType)]
        waiting += nested
        if not _is_class(code):
            found |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return found


def _is_class(code: CodeType) -> bool:
    return "__module__" in code.co_names and "__qualname__" in code.co_names


def _ranges(lines: list[int]) -> str:
    """Return line numbers as few ranges: 3-5,9."""
    told: list[str] = []
    start = previous = lines[0]
    for line in (*lines[1:], -1):
        if line != previous + 1:
            told.append(f"{start}" if start == previous else f"{start}-{previous}")
            start = line
        previous = line
    return ",".join(told)
