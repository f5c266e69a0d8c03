"""Header fields that estsim reads, right and wrong: Location, Retry-After, Date, WWW-Authenticate, and any others."""

from email.utils import formatdate
from typing import Final

from fuzz_draw import Draw

Header = tuple[bytes, bytes]

_LOCATIONS: Final = (
    b"/.well-known/est/other/cacerts", b"/.well-known/est/cacerts", b"https://localhost:443/.well-known/est/cacerts",
    b"https://localhost/x", b"http://localhost/.well-known/est/cacerts", b"https://est.example.com:${PORT}/est",
    b"mailto:admin@example.com",
    b"javascript:alert(1)", b"https://xn--/", b"https://[::1/", b"https://[::1]:99999/", b"https://[v1.x]/", b"//",
    b"///", b"", b" ",
    b"?", b"#", b"https:", b"https://", b"https:///x", b"https://:443/", b"https://user:pass@localhost/",
    b"https://local\x01host/",
    b"https://localhost:0x1bb/", b"https://localhost:-1/", b"https://localhost:/x", b"https://\xe4.example/",
    b"https://a..b/", b"//evil.example/x",
    b"https://localhost:1/\x7f", b"https://localhost:1/%zz", b"https://localhost:1/%00", b"../../../../x",
    b"\\\\evil\\x", b"https:/\\x",
    b"https://localhost:1/" + b"a" * 60_000, b"https://" + b"a." * 200 + b"b/", b"https://" + b"[" * 500,
    b"https://1.2.3.4.5/",
    b"https://0x7f.1/", b"https://[fe80::1%25eth0]/", "https://localhost:1/\u2028".encode(),
    b"https://localhost:1/?q=\xff",
    b"data:text/plain,x", b"file:///etc/passwd", b"/\t/", b"https://localhost :1/",
)  # fmt: skip
_RETRY_AFTERS: Final = (
    b"0", b"1", b"3", b"120", b"86400", b"-1", b"+1", b"1.5", b"1e3", b"", b" ", b"soon", b"0x10", b"9" * 400,
    b"9" * 5000, b"\xb2", "\u0663".encode(),
    b"1, 2", b"1;2", b"Tue, 01 Dec 2026 00:00:10 GMT", b"Tuesday, 01-Dec-26 00:00:10 GMT", b"Tue Dec  1 00:00:10 2026",
    b"Tue, 01 Dec 2026 00:00:60 GMT", b"Tue, 01 Dec 2026 00:00:61 GMT", b"Tue, 01 Dec 0000 00:00:00 GMT",
    b"Tue, 31 Feb 2026 00:00:00 GMT",
    b"Fri, 31 Dec 9999 23:59:59 GMT", b"Fri, 31 Dec 9999 23:59:60 GMT", b"Tue, 01 Dec 2026 00:00:10 +9999",
    b"Tue, 01 Dec 2026 00:00:10 -2400", b"Sun, 00 Jan 1900 00:00:00 GMT",
    b"Tue, 01 Dec 99999999999 00:00:00 GMT", b"Mon, 30 Nov 2026", b"1 1 1 1 1", b"a:b:c", b"Tue, 01 Dec 2026 :: GMT",
    b"2026-12-01T00:00:10Z", b"None", b"NaN", b"inf",
)  # fmt: skip
_CHALLENGES: Final = (
    b'Basic realm="estrealm"', b"Basic", b"basic", b'Digest realm="x", nonce="abc", qop="auth", algorithm=SHA-256',
    b"Negotiate", b"Negotiate YIIabc==",
    b'Bearer realm="x", error="invalid_token"', b'Basic realm="a", Digest realm="b", nonce="c"', b"NTLM, Basic", b"",
    b",", b",,,", b"=", b'"', b"Basic realm",
    b'Basic realm="unended', b'Basic realm="\\"', b"Basic realm=\x1b[31m", 'Basic realm="\u202e"'.encode(),
    b"Basic " + b"a=b," * 4000, b"Basic " + b" " * 20_000 + b"x",
    b'Basic realm="' + b"\\" * 20_000, b"a" * 30_000, b"a " * 15_000, b'Basic charset="UTF-8"',
    b"Basic realm=estrealm, realm=other", b"\xff\xfe", b'Basic\trealm="x"',
)  # fmt: skip
_CONTENT_TYPES: Final = (
    b"application/pkcs7-mime; smime-type=certs-only", b"application/pkcs7-mime",
    b'application/pkcs7-mime;smime-type="certs-only"', b"APPLICATION/PKCS7-MIME; SMIME-TYPE=CERTS-ONLY",
    b"application/x-pkcs7-certificates", b"text/html", b"text/plain; charset=utf-16", b"multipart/mixed; boundary=b",
    b"application/csrattrs", b"", b";", b"/", b"a" * 9000, b"\xff",
    b"application/pkcs7-mime; " + b"x=y;" * 3000, b"application/octet-stream",
)  # fmt: skip
_OTHERS: Final[tuple[Header, ...]] = (
    (b"Server", b"fuzz/1 (\xe9)"), (b"Status", b"200 OK"), (b"Set-Cookie", b"a=b; Path=/"),
    (b"Set-Cookie", b"\x80" * 99), (b"Strict-Transport-Security", b"max-age=1"),
    (b"Content-Transfer-Encoding", b"base64"), (b"Content-Transfer-Encoding", b"quoted-printable"),
    (b"Content-Encoding", b"gzip"), (b"Content-Encoding", b"br, identity"),
    (b"Connection", b"close"), (b"Connection", b"keep-alive"), (b"Connection", b"upgrade"),
    (b"Keep-Alive", b"timeout=0"), (b"Upgrade", b"h2c"), (b"Content-Range", b"bytes 0-1/2"),
    (b"Content-Disposition", b'attachment; filename=""'), (b"X-Long", b"x" * 9000), (b"X-Longer", b"y" * 40_000),
    (b"X-Longest", b"z" * 70_000), (b"Alt-Svc", b'h3=":443"'), (b"Trailer", b"X-T"),
    (b"X-Request-ID", b"someone-else"), (b"Date", b"Tue, 01 Dec 2026 00:00:00 GMT"), (b"Date", b"yesterday"),
    (b"Age", b"-1"), (b"Warning", b'199 - "\x07"'), (b"x", b""), (b"~", b"~"),
)  # fmt: skip
_SHORT: Final = tuple(field for field in _OTHERS if len(field[1]) < 100)
_BROKEN: Final[tuple[Header, ...]] = (
    (b"", b"no name"), (b"a b", b"c"), (b"X\x00Y", b"z"), (b"X-Nul", b"a\x00b"), (b"X-CR", b"a\rb"),
    (b"X-Fold", b"a\r\n b"), (b" X-Lead", b"v"), (b"X-Trail ", b"v"),
    (b"X(Comment)", b"v"), (b"X-\xff", b"v"), (b"X-Ctl", b"\x01\x02\x1b[2J"), (b"X-Inject", b"a\r\nSet-Cookie: b=c"),
    (b":", b":"),
)  # fmt: skip


def location(draw: Draw) -> bytes:
    """Return a Location: a URL, or nothing like one."""
    if draw.chance(0.1):
        return b"https://localhost:1/" + draw.octets(60)
    chosen = draw.one(_LOCATIONS)
    return draw.octets(20) + chosen if draw.chance(0.05) else chosen


def retry_after(draw: Draw, wall_s: float) -> bytes:
    """Return a Retry-After in any form; most are short, so that something follows."""
    if draw.chance(0.5):
        return b"%d" % draw.one((0, 1, 1, 2, 5))
    if draw.chance(0.3):
        return formatdate(wall_s + draw.one((-5, 0, 3, 60)), usegmt=True).encode()
    return draw.one(_RETRY_AFTERS)


def challenge(draw: Draw) -> bytes:
    """Return a WWW-Authenticate."""
    return draw.one(_CHALLENGES[:1] * 4 + _CHALLENGES)


def content_type(draw: Draw) -> bytes:
    """Return a Content-Type, of certificates mostly."""
    return draw.one(_CONTENT_TYPES[:1] * 8 + _CONTENT_TYPES)


def others(draw: Draw) -> list[Header]:
    """Return fields that come besides, a broken one among them at times."""
    fields = draw.some(_OTHERS, 4)
    if draw.chance(0.05):
        fields.append(draw.one(_BROKEN))
    if draw.chance(0.02):
        fields += [draw.one(_SHORT)] * draw.one((10, 100, 1000))
    return fields
