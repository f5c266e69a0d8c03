"""The character strings of ASN.1, read leniently: what was meant, and whether it is what its type allows.

Certificates of the field hold Latin-1 in a UTF8String, an "@" in a PrintableString and old string types; people are to
see the text all the same, and two encodings of one text are to compare equal (RFC 5280 §7.1).
"""

from typing import Final

UTF8_STRING: Final = 0x0C
NUMERIC_STRING: Final = 0x12
PRINTABLE_STRING: Final = 0x13
TELETEX_STRING: Final = 0x14
IA5_STRING: Final = 0x16
VISIBLE_STRING: Final = 0x1A
UNIVERSAL_STRING: Final = 0x1C
BMP_STRING: Final = 0x1E

_CODECS: Final = {
    UTF8_STRING: "utf-8",
    NUMERIC_STRING: "ascii",
    PRINTABLE_STRING: "ascii",
    TELETEX_STRING: "latin-1",  # T.61 as everybody writes and reads it; the real one is dead
    IA5_STRING: "ascii",
    VISIBLE_STRING: "ascii",
    UNIVERSAL_STRING: "utf-32-be",
    BMP_STRING: "utf-16-be",
}
_PRINTABLE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")
_ALPHABETS: Final = {PRINTABLE_STRING: _PRINTABLE, NUMERIC_STRING: frozenset(b"0123456789 ")}


def is_string(tag: int) -> bool:
    """Whether a tag is that of a character string."""
    return tag in _CODECS


def read_string(tag: int, content: bytes) -> tuple[str, bool]:
    """Return a string's text and whether it is sound for its type; what is not is read as Latin-1.

    Total for the tags that :func:`is_string` takes.
    """
    try:
        text = content.decode(_CODECS[tag])
    except UnicodeDecodeError:
        return content.decode("latin-1"), False
    alphabet = _ALPHABETS.get(tag)
    return text, alphabet is None or alphabet.issuperset(content)
