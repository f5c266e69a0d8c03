"""Scenario files as people and programs may write them: the library's, with values and YAML out of order."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fuzz_draw import Draw
from fuzz_mutations import mutated

_LIBRARY: Final = Path(__file__).parent.parent.parent / "scenarios"
_INCLUDED: Final[dict[str, str]] = {
    "part.yaml": "generator: {max_lag: 50ms}\ndefaults: {devices: 3, boot: {at_once: true}}\n",
    "loop.yaml": "include: loop.yaml\nseed: 2\n",
    "ring.yaml": "include: [part.yaml, ring2.yaml]\n",
    "ring2.yaml": "include: ring.yaml\n",
    "broken.yaml": "a: [1, 2\n",
    "list.yaml": "- 1\n- 2\n",
    "empty.yaml": "",
    "named.yaml": "name: ${NAME:-named}\n",
}
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 7, 100, 2**31, 2**63, -(2**63), 10**30, 1.5, -0.0, 1e308, 1e-308, "", " ", "x",
    [], {},
    [None], [[]], {"": None}, "5s", "-1s", "0s", "1e400s", "999999999d", "5 s", "5", "1ms", "2h30m", "\u0665s",
    "1s..5s",
    "5s..1s", "..", "1s..", "..1s", "1s..2s..3s", "inf", "nan", "3/s", "0/s", "-3/s", "1e9/s", "3/0s", "3/", "/s", "5%",
    "101%", "-5%", "0%", "1e-300%", "%", "0.1", "10%..20%", "64kbit/s", "0bit/s", "1e99Gbit/s", "~", "null", "yes",
    "0x10",
    "0o17", "1_000", "2026-12-01", "12:30:45", ".inf", "-.inf", ".nan", "1e5", "settled", "off", "on", "always", "once",
    "never", "fixed", "random", "next_slot", "immediate", "deferred", "manual", "exponential", "full", "none", "leave",
    "CN={index:6}", "CN={index:999999999}", "CN={", "CN=}", "CN={}", "CN={0}", "CN={index!r}", "CN={index.__class__}",
    "CN={index:{index}}", "CN={cohort}", "CN={nothing}", "CN=a,CN=b", "CN=a+OU=b", "O=\\2C,CN=\\", "1.2.3=x",
    "CN=\u202e", "C=DEU",
    "CN=" + "a" * 70, "CN=" + "{index}" * 300, "dns:{index}.example", "ip:1.2.3.4", "ip:x", "uri:http://[", "dns:",
    "mail:x",
    "${HOME}", "${NOBODY}", "${NOBODY:-5s}", "${", "$${x}", "${a b}", "${NOBODY:-${HOME}}", "https://localhost",
    "http://x",
    "https://[::1/", "https://x:99999/", "https://u:p@x/.well-known/est", "https://x/.well-known/est/a/b", "/dev/null",
    "/dev/zero", "/proc/self/mem", "/etc/passwd", ".", "..", "missing.pem", "\x00", "a\x00b", "x" * 5000,
    "\u202e\u2028\x1b[31m",
    "failures < 5%", "failures < ", "< 5%", "failures <", "simpleenroll.response.p95 < 1s", "p95 < 1s",
    "a.b.c.d.e.f < 1",
    "cohorts.x.failures < 1%", "failures <= 1 and x", "failures < 5% # no", "((((((", "enrolled_within.15s >= 99%",
    "enrolled_within.-1s >= 99%", "certificates.issued >= 1e400", "cacerts.service.p200 < 1s", "127.0.0.1", "1.2",
    "1.3",
    "1.2..1.3", "1.3..1.2", "p-256", "x25519", "ec-p256", "rsa-4096", "ed25519", "basic", "digest", "shared", "files",
)  # fmt: skip
_KEYS: Final = (
    "devices", "subject", "sans", "key", "bootstrap", "tls", "boot", "enroll", "renew", "deferral", "retry", "network",
    "clock", "faults", "start", "keys", "on_boot", "sandbox", "target", "generator", "authorities", "events", "phases",
    "expect", "thresholds", "include", "defaults", "cohorts", "name", "seed", "duration", "until", "version", "kind",
    "at",
    "share", "rate", "burst", "spread", "times", "then", "url", "trust", "ca", "path", "user", "password", "label", "",
    "<<", "x" * 300, "\u202e", "__class__", "a.b", "0", "null", "true", "[", "? ",
)  # fmt: skip


def write_included(folder: Path) -> None:
    """Write the files that scenarios include."""
    for name, text in _INCLUDED.items():
        (folder / name).write_text(text, encoding="utf-8")


def bases() -> list[Any]:
    """Return the scenarios that come with estsim as plain data."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - here alone

    reader = YAML(typ="safe", pure=True)
    return [reader.load(path.read_text(encoding="utf-8")) for path in sorted(_LIBRARY.glob("*.yaml"))]


def scenario(draw: Draw, data: Any) -> bytes:  # noqa: ANN401 - YAML data of any shape
    """Return a scenario file: one of the library's with some places changed, written in one of many ways."""
    data = json.loads(json.dumps(data))  # a copy
    for _ in range(draw.one((0, 0, 0, 1, 1, 1, 1, 2, 2, 4))):
        _change(draw, data)
    if draw.chance(0.15) and isinstance(data, dict):
        data["include"] = draw.one(
            ([*_INCLUDED][int(draw.random() * len(_INCLUDED))], ["part.yaml", "named.yaml"], "no.yaml", [])
        )
    text = _Writer(draw).document(data)
    content = text.encode("utf-8", "surrogatepass")
    if draw.chance(0.15):
        content = draw.one(_MANGLERS)(draw, content)
    return mutated(draw, content) if draw.chance(0.1) else content


def _change(draw: Draw, data: Any) -> None:  # noqa: ANN401
    """Change one place in the data."""
    holder: Any = data
    while True:
        steps = (
            list(holder) if isinstance(holder, dict) else list(range(len(holder))) if isinstance(holder, list) else []
        )
        if not steps:
            return
        step = draw.one(steps)
        below = holder[step]
        if not isinstance(below, dict | list) or not below or draw.chance(0.2):
            break
        holder = below
    match int(draw.random() * 8):
        case 0:
            del holder[step]
        case 1 if isinstance(holder, dict):
            holder[draw.one(_KEYS)] = holder.pop(step)
        case 2 if isinstance(holder, dict):
            holder[draw.one(_KEYS)] = draw.one(_VALUES)
        case 3 if isinstance(holder, dict):
            holder[f"{step}x"] = below
        case 4 if isinstance(holder, list):
            holder.extend([below] * draw.one((1, 2, 200)))
        case 5:
            holder[step] = [draw.one(_VALUES), below]
        case _:
            holder[step] = draw.one(_VALUES)


class _Writer:
    """Writes plain data as YAML: in blocks or in one line, quoted or not, with anchors, aliases and tags."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._odd = draw.chance(0.25)
        self._anchors = 0

    def document(self, data: Any) -> str:  # noqa: ANN401
        """Return the whole text."""
        if self._draw.chance(0.1):
            return json.dumps(data, ensure_ascii=self._draw.chance(0.5))
        return self._block(data, 0).lstrip("\n")

    def _block(self, value: Any, depth: int) -> str:  # noqa: ANN401
        indent = "\n" + "  " * depth
        if isinstance(value, dict) and value and self._draw.chance(0.85):
            return "".join(
                f"{indent}{self._scalar(key)}: {self._decoration()}{self._block(each, depth + 1)}"
                for key, each in value.items()
            )
        if isinstance(value, list) and value and self._draw.chance(0.85):
            return "".join(f"{indent}- {self._decoration()}{self._block(each, depth + 1)}" for each in value)
        return self._flow(value)

    def _flow(self, value: Any) -> str:  # noqa: ANN401
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._scalar(key)}: {self._flow(each)}" for key, each in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self._flow(each) for each in value) + "]"
        return self._scalar(value)

    def _scalar(self, value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, str):
            return json.dumps(value)
        plain = value.replace("/", "").replace(".", "").replace("%", "").replace("-", "").isalnum()
        if plain and value.isascii() and self._draw.chance(0.8):
            return value
        if self._odd and self._draw.chance(0.1):
            return value  # which may mean something else unquoted
        return json.dumps(value, ensure_ascii=self._draw.chance(0.5))

    def _decoration(self) -> str:
        """Return what may stand before a value."""
        if not self._odd or self._draw.chance(0.93):
            return ""
        self._anchors += 1
        return self._draw.one(
            (
                f"&a{self._anchors} ",
                f"*a{max(1, self._anchors - 1)} ",
                "!!str ",
                "!!binary ",
                "!x ",
                "!!python/object:os.system ",
                "!!set ",
            )
        )


def _bomb(_: Draw, content: bytes) -> bytes:
    levels = [b"b0: &b0 [x, x, x, x, x, x, x, x, x]"]
    levels += [b"b%d: &b%d [%s]" % (level, level, b", ".join([b"*b%d" % (level - 1)] * 9)) for level in range(1, 9)]
    return b"\n".join(levels) + b"\n" + content


def _merges(draw: Draw, content: bytes) -> bytes:
    count = draw.one((3, 50, 400))
    return b"m: &m {a: 1, b: 2}\nn:\n  <<: [" + b", ".join([b"*m"] * count) + b"]\n" + content


_MANGLERS: Final[tuple[Callable[[Draw, bytes], bytes], ...]] = (
    lambda _, content: content.replace(b"\n", b"\r\n"),
    lambda _, content: b"\xef\xbb\xbf" + content,
    lambda _, content: b"%YAML 1.1\n---\n" + content,
    lambda _, content: b"---\n" + content + b"\n---\nversion: 1\n",
    lambda _, content: content.replace(b"  ", b"\t"),
    lambda _, content: content + content,
    lambda draw, content: content[: int(draw.random() * len(content))],
    lambda _, content: content.decode("utf-8", "replace").encode("utf-16"),
    lambda _, content: content.decode("utf-8", "replace").encode("latin-1", "replace") + b"\xe9",
    lambda draw, content: b"[" * draw.one((10, 2000)) + content,
    lambda draw, content: b"a: " * draw.one((3, 500)) + content,
    lambda draw, content: b"? " * draw.one((1, 500)) + content,
    lambda _, content: content + b"\n# " + b"comment " * 500,
    lambda draw, content: content + b"\nlong: |\n" + b"  text\n" * draw.one((10, 600)),
    lambda _, content: content + b"\nself: &s [*s]\n",
    lambda _, content: b"%TAG ! tag:x,2000:\n%TAG\n---\n" + content,
    _bomb,
    _merges,
)
