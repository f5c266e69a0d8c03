"""From paths to trust centers and operations, as a table; and whatever else a client may write."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from estsim.est.messages import EstRequest
from estsim.est.operations import Operation
from estsim.server.answer import Refused
from estsim.server.routing import Route, expect_method, path_of, route

LABELS = ("default", "meters", "gateways")
EST = "/.well-known/est"


def asking(path: str, method: str = "GET") -> EstRequest:
    """Return a request for a path."""
    return EstRequest(method, path, (), b"")


def refusal(path: str, labels: tuple[str, ...] = LABELS) -> str:
    """Return the reason of the 404 that a path gets."""
    with pytest.raises(Refused) as refused:
        route(asking(path), labels)
    assert refused.value.status == 404
    assert refused.value.headers == ()
    return str(refused.value)


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}?",
        "{}?a=b",
        "{}?a?b",
        "{}?/.well-known/est/csrattrs",
        "https://localhost{}",
        "https://[::1]:8443{}?a=b",
        "http://est.example:80{}",
    ],
)
@pytest.mark.parametrize(("prefix", "label"), [("", "default"), ("/meters", "meters"), ("/gateways", "gateways")])
def test_a_path_leads_to_its_trust_center_and_operation(form: str, prefix: str, label: str) -> None:
    """Without a label to the default one; in absolute form as well (RFC 9112 §3.2.2), and whatever the query."""
    for operation in Operation:
        assert route(asking(form.format(f"{EST}{prefix}/{operation.value}")), LABELS) == Route(label, operation)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a?b/c", "/a"),
        ("https://host", "/"),
        ("https://host/", "/"),
        ("https://host?a=/b", "/"),
        ("http://host:8443/a/b?c", "/a/b"),
        ("https://user@host/a//b", "/a//b"),
        ("/a?u=https://host/b", "/a"),
        ("/https://host/b", "/https://host/b"),
        ("*", "*"),
        ("host:443", "host:443"),
        ("", ""),
    ],
)
def test_a_path_is_a_target_without_host_and_query(target: str, path: str) -> None:
    """In origin form and in absolute form; other forms are left as they are, and lead nowhere."""
    assert path_of(asking(target)) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", f"expected a path under {EST}/ (got /)"),
        ("", f"expected a path under {EST}/ (got )"),
        ("*", f"expected a path under {EST}/ (got *)"),
        (EST, f"expected a path under {EST}/ (got {EST})"),
        ("/cacerts", f"expected a path under {EST}/ (got /cacerts)"),
        (f"{EST}est/cacerts", f"expected a path under {EST}/ (got {EST}est/cacerts)"),
        (f"/x{EST}/cacerts", f"expected a path under {EST}/ (got /x{EST}/cacerts)"),
        (f"/{EST}/cacerts", f"expected a path under {EST}/ (got /{EST}/cacerts)"),
        ("/.WELL-KNOWN/est/cacerts", f"expected a path under {EST}/ (got /.WELL-KNOWN/est/cacerts)"),
        ("https://host/", f"expected a path under {EST}/ (got /)"),
        ("/" + "a" * 500, f"expected a path under {EST}/ (got /{'a' * 199})"),
    ],
)
def test_what_is_not_est_is_told_where_est_is(path: str, reason: str) -> None:
    """404, with what came, cut to a length that a person reads."""
    assert refusal(path) == reason


@pytest.mark.parametrize(
    ("tail", "got"),
    [
        ("", "nothing"),
        ("caCerts", "caCerts"),
        ("cacert", "cacert"),
        ("%63acerts", "%63acerts"),
        ("cacerts ", "cacerts "),
        (" cacerts", " cacerts"),
        ("x" * 100, "x" * 40),
        ("meters/", "nothing"),
        ("meters/cacert", "cacert"),
        ("meters/cacerts/", "cacerts/"),
        ("meters//cacerts", "/cacerts"),
        ("meters/meters/cacerts", "meters/cacerts"),
    ],
)
def test_an_unknown_operation_is_told_which_there_are(tail: str, got: str) -> None:
    """All six by name, and what came in place of them."""
    known = "cacerts, csrattrs, simpleenroll, simplereenroll, serverkeygen, fullcmc"
    assert refusal(f"{EST}/{tail}") == f"expected one of {known} (got {got})"


def test_a_label_alone_is_told_that_an_operation_is_missing() -> None:
    """The most common mistake."""
    assert refusal(f"{EST}/meters").endswith("(got meters; meters is a label; add the operation after it)")


def test_a_slash_behind_an_operation_is_told() -> None:
    """It is no label, whatever comes before a slash elsewhere."""
    assert refusal(f"{EST}/cacerts/") == "expected cacerts without a trailing slash (got /.well-known/est/cacerts/)"


def test_default_alone_is_not_taken_for_a_label() -> None:
    """It has no place in a URL, so an operation after it would be refused too."""
    assert "is a label" not in refusal(f"{EST}/default")


@pytest.mark.parametrize("labels", [LABELS, ("default",)])
def test_default_is_no_label_in_a_url(labels: tuple[str, ...]) -> None:
    """One trust center has one URL."""
    assert refusal(f"{EST}/default/cacerts", labels).startswith("expected a known label (got default; this sandbox has")


@pytest.mark.parametrize(("tail", "got"), [("water/cacerts", "water"), ("METERS/cacerts", "METERS"), ("../x", "..")])
def test_an_unknown_label_is_told_which_there_are(tail: str, got: str) -> None:
    """Those that may stand in a URL, in the order of the configuration."""
    assert (
        refusal(f"{EST}/{tail}") == f"expected a known label (got {got}; this sandbox has the labels meters, gateways)"
    )


def test_a_long_label_is_cut_in_the_message() -> None:
    """A client may make it as long as it likes."""
    assert refusal(f"{EST}/{'x' * 100}/cacerts").startswith(f"expected a known label (got {'x' * 40}; ")


def test_a_sandbox_without_labels_says_so() -> None:
    """There is only the default one."""
    assert (
        refusal(f"{EST}/meters/cacerts", ("default",))
        == "expected a known label (got meters; this sandbox has no labels)"
    )


pieces = st.sampled_from(
    [EST, "/", "?", "meters", "default", "cacerts", "simpleenroll", "https://", "host", "..", "%2f", "\0", "é", " "]
)
targets = st.text() | st.lists(pieces | st.text(max_size=3), max_size=8).map("".join)
tails = st.lists(pieces | st.text(max_size=3), max_size=5).map("".join).map(f"{EST}/{{}}".format)


@given(target=targets | tails, labels=st.sampled_from([LABELS, ("default",)]))
@example(target=f"{EST}/meters/cacerts", labels=LABELS)
@example(target=f"{EST}/{'/' * 1000}", labels=LABELS)
def test_whatever_the_path_it_leads_somewhere_known_or_is_refused(target: str, labels: tuple[str, ...]) -> None:
    """No other exception, no label that is not there, and none reached by another way than its own."""
    found = routed(target, labels)
    if isinstance(found, Refused):
        assert found.status == 404
        assert len(str(found)) < 400
        assert found.response().body.decode().removesuffix("\n").isprintable()
    else:
        assert found.label in labels
        middle = "" if found.label == "default" else f"/{found.label}"
        assert path_of(asking(target)) == f"{EST}{middle}/{found.operation.value}"


def routed(target: str, labels: tuple[str, ...]) -> Route | Refused:
    """Return where a path leads, or its refusal."""
    try:
        return route(asking(target), labels)
    except Refused as refused:
        return refused


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_has_one_method(operation: Operation) -> None:
    """Another one is told which (RFC 9110 §15.5.6 wants it in Allow); capitals count, and a long one is cut."""
    right = "GET" if operation in (Operation.CACERTS, Operation.CSRATTRS) else "POST"
    expect_method(asking("/", right), operation)
    for method in ({"GET", "POST"} - {right}) | {"HEAD", "PUT", "DELETE", "OPTIONS", right.lower(), "X" * 100}:
        with pytest.raises(Refused) as refused:
            expect_method(asking("/", method), operation)
        assert (refused.value.status, refused.value.headers) == (405, (("allow", right),))
        assert str(refused.value) == f"expected {right} for {operation.value} (got {method[:20]})"
