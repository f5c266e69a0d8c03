"""Where a Location leads, or that it leads nowhere; never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.url import Origin, Place, is_host, is_path, is_segment, read_location

AT = Place(Origin("est.example", 8443), "/a/.well-known/est/cacerts")


@pytest.mark.parametrize(
    ("location", "to"),
    [
        ("/moved/est", "https://est.example:8443/moved/est"),
        ("moved", "https://est.example:8443/a/.well-known/est/moved"),
        ("../x?y=z/?", "https://est.example:8443/a/.well-known/x?y=z/?"),
        ("?q", "https://est.example:8443/a/.well-known/est/cacerts?q"),
        ("#f", "https://est.example:8443/a/.well-known/est/cacerts"),
        ("//other", "https://other:443/"),
        ("https://OTHER.example/My%20CA/ca:3;v=1/@", "https://other.example:443/My%20CA/ca:3;v=1/@"),
        ("HTTPS://other:9/#top", "https://other:9/"),
        ("https://[::1]:9/x", "https://[::1]:9/x"),
        ("https://10.0.0.1/a//b/../c", "https://10.0.0.1:443/a//b/../c"),
    ],
)
def test_a_location_leads_somewhere(location: str, to: str) -> None:
    """Absolute ones as written, relative ones as RFC 3986 §5.2 resolves them; a fragment is the reader's."""
    assert str(read_location(location, AT)) == to


@pytest.mark.parametrize(
    "location",
    [
        "http://est.example/",
        "mailto:a@b",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://user:secret@est.example/",
        "https://est.example:0/",
        "https://est.example:99999/",
        "https://est.example:${PORT}/",
        "/{label}/x",
        "/a b",
        "/%zz",
        "/\x01",
        "/\xe4",
        "https://[::1/",
        "https://[v1.x]/",
        "https://[1:2]/",
        "https://a..b/",
        f"https://{'a' * 64}/",
        "\\\\other\\x",
        "",
        "/" + "x" * 8192,
    ],
)
def test_what_is_no_https_url_leads_nowhere(location: str) -> None:
    """Other schemes, passwords, unfilled templates, and characters that no URL has."""
    assert read_location(location, AT) is None


@given(st.text() | st.text("htps:/[]@?#%.1a\\"))
def test_any_location_is_a_place_or_none(location: str) -> None:
    """Total, and what it leads to can be sent."""
    to = read_location(location, AT)
    if to is not None:
        path, _, _ = to.target.partition("?")
        assert is_path(path)
        assert is_host(to.origin.host)
        assert to.target.isascii()
        assert to.target.isprintable()
        assert 0 < to.origin.port < 65536
        assert read_location(str(to), AT) == to


@pytest.mark.parametrize("segment", ["ca:3", "My%20CA", "ca%3A3", "a!$&'()*+,;=:@~._-", "..."])
def test_segments(segment: str) -> None:
    """All that RFC 3986 §3.3 has."""
    assert is_segment(segment)


@pytest.mark.parametrize("segment", ["", ".", "..", "a/b", "a b", "%2", "%g0", "[x]", "ä", "a\n"])
def test_what_is_no_segment(segment: str) -> None:
    """Nothing else."""
    assert not is_segment(segment)
