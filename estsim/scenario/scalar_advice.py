"""What a number, a flag, a word or a list in a configuration was probably meant to be.

Habits of other languages and of YAML 1.1: quoted numbers, ``yes`` and ``off``, ``1_000``, one entry where a list is
meant. Every function returns what to write, or None where nobody can say.
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
# Other names of the same: OpenSSL's and SECG's of the curves.
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
    """Return the advice for what is no whole number: ``remove the quotes``, ``write 1000``."""
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
    """Return the advice for what is neither true nor false."""
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in ("true", "false"):
        return f"remove the quotes, write {word}"
    return "write true" if word in _TRUE else "write false" if word in _FALSE else None


def is_no(value: object) -> bool:
    """Say whether a value is one of the words for no."""
    return value is False or (isinstance(value, str) and value.strip().lower() in _FALSE)


def is_yes(value: object) -> bool:
    """Say whether a value is one of the words for yes."""
    return value is True or (isinstance(value, str) and value.strip().lower() in _TRUE)


def word_meant(value: object, known: Sequence[str]) -> str | None:
    """Return the word of a choice that was meant, however it is spelt."""
    if is_no(value) and (none := [word for word in _NONE_OF_THEM if word in known]):
        return none[0]
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    plain = {_plain(word): word for word in known}
    said = _plain(text)
    if said in plain:
        return plain[said]
    if (alias := _ALIASES.get(said)) in known:
        return alias
    within = [word for each, word in plain.items() if said and (each.endswith(said) or each.startswith(said))]
    return within[0] if len(within) == 1 else nearest(text.lower(), known)


def list_meant(value: object) -> str | None:
    """Return the advice for what is no list."""
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
