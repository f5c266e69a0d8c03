"""Bugs of ours as values: what is kept of an exception, how they merge, and what nothing may show."""

from base64 import b64encode
from collections.abc import Callable
from errno import EMFILE

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.record.exceptions import MAX_LINE, MAX_TRACE, line_of, message_of, passwords_in, secrets_in
from estsim.record.internal_errors import MAX_KINDS, InternalErrors

NONE: frozenset[str] = frozenset()
LOG_BYTES = MAX_KINDS * (MAX_TRACE + 3 * MAX_LINE) + 1000


def met(raise_it: Callable[[], object]) -> Exception:
    """Return the exception that a call raises, with its traceback."""
    try:
        raise_it()
    except Exception as error:  # noqa: BLE001 - any
        return error
    raise AssertionError("it raised nothing")


def a_bug(message: str = "a bug", kind: type[Exception] = KeyError) -> Exception:
    """Return an exception with a traceback."""

    def raise_it() -> None:
        raise kind(message)

    return met(raise_it)


def noted(*bugs: Exception, secrets: frozenset[str] = NONE) -> InternalErrors:
    """Return the errors, each met by a device of its own."""
    errors = InternalErrors(secrets)
    for device, bug in enumerate(bugs):
        errors.note(bug, at_ns=device * 1_000_000_000, device=device)
    return errors


def test_a_kind_is_a_type_and_a_place() -> None:
    """A thousand messages from one place are one kind, with one traceback and the first few devices."""
    errors = noted(*(a_bug(f"bug {number}") for number in range(1000)))
    (kind,) = errors.kinds.values()
    assert (kind.error, kind.count, kind.devices, kind.numbers) == ("KeyError", 1000, 1000, tuple(range(8)))
    assert "test_record_internal_errors.py" in kind.place
    assert kind.trace.count("Traceback") == 1
    assert "'bug 0'" in kind.trace
    assert "'bug 1'" not in errors.log("1")


def test_a_location_in_estsim_is_shown_with_where_the_error_was_raised() -> None:
    """The innermost frame in estsim says whose bug it is, the innermost of all what was wrong."""
    (kind,) = noted(met(lambda: msgpack.packb(InternalErrors(NONE).unpacked(1)))).kinds.values()
    assert kind.place.startswith("estsim/record/internal_errors.py:")
    assert kind.place.endswith(" in unpacked")
    (kind,) = noted(met(lambda: secrets_in(["a", 1]))).kinds.values()  # type: ignore[list-item]  # the bug
    assert kind.place.startswith("estsim/record/exceptions.py:")
    assert "in secrets_in (raised at " in kind.place
    assert "    found |= {password," in kind.trace  # our source is shown, nobody else's
    assert "raise_it" not in kind.trace


def test_foreign_text_stays_in_its_line() -> None:
    """No control character, no forged line, no letter that a terminal or a locale does not have."""
    errors = noted(a_bug("\x1b[2J\r\nTraceback: none\n\u202e\U0001f600\x00", RuntimeError))
    log = errors.log("1")
    assert log.isascii()
    assert all(line.isprintable() for line in log.split("\n"))
    assert r"RuntimeError: \x1b[2J\r\nTraceback: none\n\u202e\U0001f600\x00" in log


def test_the_log_is_bounded_whatever_comes() -> None:
    """Too many kinds are counted, and long messages, deep recursions and long chains are cut."""
    kinds = [a_bug("x" * 100_000, type(f"Bug{number}" + "y" * 500, (Exception,), {})) for number in range(100)]
    errors = noted(*kinds, met(_recurse), met(_chain))
    assert len(errors.kinds) == MAX_KINDS
    assert (errors.count, errors.devices, errors.unlisted) == (102, 102, 102 - MAX_KINDS)
    assert len(errors.log("1")) <= LOG_BYTES
    (deep,) = noted(met(_recurse)).kinds.values()
    assert deep.error == "RecursionError"
    assert len(deep.trace) <= MAX_TRACE
    assert "frames omitted" in deep.trace


def _recurse() -> None:
    _recurse()


def _fail() -> None:
    raise ValueError("é" * 1000)


def _chain(depth: int = 50) -> None:
    try:
        _chain(depth - 1) if depth else _fail()
    except Exception as error:
        raise KeyError("ü" * 1000) from error


def test_no_local_variable_is_in_it() -> None:
    """What a function held is its own."""

    def holds_a_secret() -> None:
        token = "hunter2"  # noqa: F841 - the local variable
        raise KeyError

    assert "hunter2" not in noted(met(holds_a_secret)).log("1")


@pytest.mark.parametrize("password", ["open-sesame", "a", "pa ss/wörd+%", "'\"\\", "x" * 200])
@pytest.mark.parametrize("user", ["u", "al", "bob", "carol"])
def test_a_message_with_a_password_is_left_out(password: str, user: str) -> None:
    """As it is, in a repr, in a URL, or as Basic sends it, whoever the user is."""
    secrets = secrets_in([password])
    basic = b64encode(f"{user}:{password}".encode()).decode()
    for text in (
        password,
        repr({"password": password}),
        f"Authorization: Basic {basic}",
        f"https://{user}:{password}@h",
    ):
        assert message_of(ValueError(text), secrets) == "(message omitted: it may contain a secret)"
    assert message_of(ValueError("1234"), secrets) == "1234"
    log = noted(a_bug(f"before {password} after"), secrets=secrets).log("1")
    assert f"before {password}" not in log


def test_keys_in_a_message_are_cut() -> None:
    """PEM is left out; a long run of base64 or hex, and bytes as Python writes them, are a number of characters."""
    assert "may contain a secret" in message_of(ValueError("-----BEGIN EC PRIVATE KEY-----\nMHcC"), NONE)
    assert message_of(ValueError(f"key {'aB3/' * 20}!"), NONE) == "key (80 characters)!"
    assert message_of(ValueError(f"got {bytes(range(20))!r}"), NONE) == "got (bytes of 77 characters)"


def test_messages_are_omitted_if_the_secrets_are_not_known() -> None:
    """A bug before the scenario was read has its place alone."""
    errors = InternalErrors()
    errors.note(a_bug("hunter2"), at_ns=0)
    assert "hunter2" not in errors.log("1")
    assert "KeyError: (message omitted" in errors.log("1")


def test_an_exception_that_cannot_be_described_is_counted() -> None:
    """Whatever a foreign class does when it is asked."""

    class OddError(Exception):
        def __str__(self) -> str:
            raise self

        __repr__ = __str__

    errors = noted(met(lambda: (_ for _ in ()).throw(OddError())))
    assert errors.count == 1
    assert "(message unavailable)" in errors.log("1")


def test_each_exception_of_a_group_is_a_kind_and_the_device_is_one() -> None:
    """What several tasks of one device met."""
    errors = InternalErrors(NONE)
    group = ExceptionGroup("two", [a_bug(), ExceptionGroup("inner", [a_bug(kind=ValueError)])])
    errors.note(group, at_ns=0, device=7)
    assert [(kind.error, kind.devices) for kind in errors.kinds.values()] == [("KeyError", 1), ("ValueError", 0)]
    assert (errors.count, errors.devices) == (2, 1)


def test_a_device_counts_once() -> None:
    """What it meets while it is stopped is noted, and stops it no more."""
    errors = InternalErrors(NONE)
    for _ in range(3):
        errors.note(a_bug(), at_ns=0, device=7)
    assert (errors.count, errors.devices) == (3, 1)


def test_merging_is_adding() -> None:
    """Of what workers send: the same counts in any order, a kind that is new is told, each traceback once."""
    halves = noted(a_bug("one")), noted(a_bug("two"), a_bug("three", ValueError))
    sent = [InternalErrors.unpacked(msgpack.unpackb(msgpack.packb(half.packed()))) for half in halves]
    for order in (sent, sent[::-1]):
        whole = InternalErrors()
        new = [kind.error for half in order for kind in whole.merge(half)]
        assert sorted(new) == ["KeyError", "ValueError"]
        assert (whole.count, whole.devices) == (3, 3)
        assert whole.log("1").count("Traceback") == 2
    assert sent[0].kinds == halves[0].kinds


def test_a_machine_that_ran_out_of_something_has_no_bug() -> None:
    """What, and when first, is kept and sent; it is no kind, stops nobody, and has no traceback."""
    errors = InternalErrors()
    assert not errors
    for at_ns, error in enumerate([MemoryError(), OSError(EMFILE, "too many"), MemoryError()], start=1):
        assert errors.note(error, at_ns=at_ns, device=1) == []
    errors.note(ExceptionGroup("all", [RuntimeError("can't start new thread"), a_bug("one")]), at_ns=9)
    sent = InternalErrors.unpacked(msgpack.unpackb(msgpack.packb(errors.packed())))
    whole = InternalErrors()
    whole.merge(sent)
    assert whole
    assert whole.shortages == {"memory": 1, "file descriptors": 2, "processes or threads": 9}
    assert (whole.count, whole.devices) == (1, 0)
    assert "MemoryError" not in whole.log("1")


def test_too_many_kinds_of_many_workers_are_counted() -> None:
    """The bound is of the whole run."""
    whole = InternalErrors()
    for worker in range(5):
        kinds = [type(f"Bug{worker}x{number}", (Exception,), {}) for number in range(30)]
        whole.merge(InternalErrors.unpacked(noted(*(a_bug(kind=kind) for kind in kinds)).packed()))
    assert len(whole.kinds) == MAX_KINDS
    assert (whole.count, whole.devices) == (150, 150)


_NUMBERS = st.integers(-2, 1 << 80)
_WORDS = st.text(max_size=400) | st.integers() | st.none()
_KINDS = st.lists(
    st.tuples(_WORDS, _WORDS, _WORDS, _NUMBERS, _NUMBERS, _NUMBERS, st.lists(_NUMBERS, max_size=20)), max_size=40
)


_SHORT = st.lists(st.tuples(_WORDS | st.sampled_from(["memory", "disk space"]), _NUMBERS | _WORDS), max_size=5)


@given(st.tuples(_NUMBERS, _NUMBERS, _KINDS, _SHORT) | st.recursive(_WORDS, lambda inner: st.lists(inner, max_size=5)))
def test_foreign_errors_are_bounded_or_refused(packed: object) -> None:
    """A worker elsewhere may be anybody."""
    try:
        errors = InternalErrors.unpacked(packed)
    except (ValueError, TypeError):
        return
    log = errors.log("1")
    assert log.isascii()
    assert len(log) <= LOG_BYTES
    assert all(line.isprintable() for line in log.split("\n"))
    assert InternalErrors.unpacked(errors.packed()).packed() == errors.packed()


@given(st.text())
def test_a_line_is_printable_ascii_and_bounded(text: str) -> None:
    """And one that was made a line stays as it is."""
    line = line_of(text)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= MAX_LINE
    assert line_of(line) == line


def test_the_passwords_of_a_scenario_are_found_wherever_they_stand() -> None:
    """Cohorts, defaults, the sandbox's users."""
    document = {
        "cohorts": {"a": {"bootstrap": {"user": "u", "password": "one"}}, "b": {"http_auth": [{"password": "two"}]}},
        "sandbox": {"clients": {"users": {"alice": {"password": "three"}}}},
        "password": {"not": "text"},
    }
    assert sorted(passwords_in(document)) == ["one", "three", "two"]
