"""Words for people out of whatever a server or a proxy answers."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.readable import readable, words_of

NGINX = b"""<html>\r
<head><title>403 Forbidden</title></head>\r
<body>\r
<center><h1>403 Forbidden</h1></center>\r
<hr><center>nginx/1.22.1</center>\r
</body>\r
</html>\r
"""
APACHE = b"""<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">
<html><head>
<title>413 Request Entity Too Large</title>
</head><body>
<h1>Request Entity Too Large</h1>
The requested resource does not allow request data with POST requests, or the amount of data provided in
the request exceeds the capacity limit.
</body></html>
"""
APACHE_SAYS = (
    "Request Entity Too Large The requested resource does not allow request data with POST requests, or the amount of "
    "data provided in the request exceeds the capacity limit."
)
HAPROXY = b"<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n\n"


@given(st.binary())
def test_readable_text_is_one_printable_line(text: bytes) -> None:
    """Whatever came, it can be printed."""
    line = readable(text)
    assert line.isprintable()
    assert len(line) <= 200


@given(st.binary() | st.text("<>/!-headscripttyle \"'&;#x").map(str.encode))
def test_words_are_one_printable_line_too(body: bytes) -> None:
    """Markup of any kind and none."""
    words = words_of(body)
    assert words.isprintable()
    assert len(words) <= 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (NGINX, "403 Forbidden nginx/1.22.1"),
        (APACHE, APACHE_SAYS),
        (HAPROXY, "403 Forbidden Request forbidden by administrative rules."),
        (b"  <html><head><style>b{x:<y>}</style><title>No &amp; no</title></head><body></body>", "No & no"),
        (b"<html><script>if (a < b) alert('<p>')</script>Sorry<!-- <p>id 7</p> -->, no</html>", "Sorry , no"),
        (b"<HTML><BODY>open <b", "open"),
        (b"<html><head><title>only the beginning" + b"x" * 9000, "only the beginning" + "x" * 182),
        (b"<html>&#27;[31m&lt;b&gt;\x9b", "[31m<b>\ufffd"),
        (b"no <b>markup</b>, for it begins otherwise", "no <b>markup</b>, for it begins otherwise"),
        (b"<7 days", "<7 days"),
        (b'{"error": "<no>"}', '{"error": "<no>"}'),
        (b"", ""),
    ],
    ids=range(12),
)
def test_of_html_its_text_is_kept(body: bytes, words: str) -> None:
    """What a reader of the page would see, in the words of nginx, Apache, HAProxy and others."""
    assert words_of(body) == words


def test_a_reference_to_no_character_is_no_trouble() -> None:
    """A number of thousands of digits is none that Python reads."""
    assert words_of(b"<p>&#" + b"9" * 5000 + b";</p>") == "\N{REPLACEMENT CHARACTER}"
    assert words_of(b"<p>it&#39;s</p>") == "it's"


@pytest.mark.parametrize("column", [64, 76, 10_000])
def test_base64_has_no_words(column: int) -> None:
    """A base64 message in an error body means nothing to people and differs each time; a word is kept."""
    encoded = base64.b64encode(bytes(range(256)) * 8).decode()
    body = "\n".join(encoded[at : at + column] for at in range(0, len(encoded), column)).encode()
    assert words_of(body) == ""
    assert words_of(b"certificate " + body).startswith("certificate ")
    assert words_of(b"Unauthorized") == "Unauthorized"
