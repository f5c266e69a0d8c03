"""What a mistaken number, flag, word or list was probably meant to be.

Habits from other languages and YAML 1.1: quoted numbers, ``yes`` and ``off``, ``1_000``, a single entry instead of a
list. Every function returns what to write, or None if that is unknown.
"""

import re
from collections.abc import Sequence
from typing import Final

from estsim.nearness import nearest
from estsim.units import shown

_TRUE: Final = frozenset({"true", "yes", "y", "on", "1", "enabled", "always"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "0", "disabled", "none", "never", "null"})
_COUNTED: Final = re.compile(r"([0-9][0-9_., ']*?)\s*([kKM]?)(?:[;,]|\s*#.*|\s+[a-z]+)?")
_GROUPS: Final = re.compile(r"[0-9]{1,3}(?:[_., '][0-9]{3})+|[0-9]+")
_FACTORS: Final = {"": 1, "k": 1000, "K": 1000, "M": 1_000_000}
_NONE_OF_THEM: Final = ("never", "off", "none")
# Other names for the same; for curves those of OpenSSL and SECG.
_ALIASES: Final = {
    "secp256r1": "ec-p256",
    "prime256v1": "ec-p256",
    "ec": "ec-p256",
    "ecdsa": "ec-p256",
    "secp384r1": "ec-p384",
    "eddsa": "ed25519",
    "rsa": "rsa-2048",
    "curve25519": "x25519",
}


def whole_number_meant(value: object) -> str | None:
    """Return the advice where a whole number is expected: ``remove the quotes``, ``write 1000``."""
    if isinstance(value, float):
        return f"write {int(value)}" if value.is_integer() and abs(value) < 10**15 else None
    if not isinstance(value, str):
        return None
    if value.isdecimal():
        return f"remove the quotes, write {int(value)}" if len(value) < 16 else None  # noqa: PLR2004 - no count is longer
    match = _COUNTED.fullmatch(value.strip())
    if match is None or not _GROUPS.fullmatch(match[1]) or len(match[1]) > 16:  # noqa: PLR2004
        return None
    return f"write {int(re.sub('[^0-9]', '', match[1])) * _FACTORS[match[2]]}"


def flag_meant(value: object) -> str | None:
    """Return the advice where true or false is expected."""
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in ("true", "false"):
        return f"remove the quotes, write {word}"
    return "write true" if word in _TRUE else "write false" if word in _FALSE else None


def is_no(value: object) -> bool:
    """Whether a value is a word for no."""
    return value is False or (isinstance(value, str) and value.strip().lower() in _FALSE)


def is_yes(value: object) -> bool:
    """Whether a value is a word for yes."""
    return value is True or (isinstance(value, str) and value.strip().lower() in _TRUE)


def word_meant(value: object, known: Sequence[str]) -> str | None:
    """Return the word of a choice that was meant, in any spelling."""
    if is_no(value) and (none := [word for word in _NONE_OF_THEM if word in known]):
        return none[0]
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    plain = {_plain(word): word for word in known}
    given = _plain(text)
    if given in plain:
        return plain[given]
    if (alias := _ALIASES.get(given)) in known:
        return alias
    within = [word for each, word in plain.items() if given and (each.endswith(given) or each.startswith(given))]
    return within[0] if len(within) == 1 else nearest(text.lower(), known)


def list_meant(value: object) -> str | None:
    """Return the advice where a list is expected."""
    if isinstance(value, dict):
        return "begin each entry with `- `"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value)
    if text[:1] == "-" and text[1:2].isalpha():
        return f"missing space after the `-`, write - {shown(text[1:])}"
    return f"write [{shown(text)}]"


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
