"""Subject and SAN templates: what they become, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.errors import UnitError
from estsim.scenario.subjects import compile_sans, compile_subject


def _subject(template: str, device: int = 7) -> str:
    return compile_subject(template, cohort="north", seed=1)(device).rfc4514_string()


@pytest.mark.parametrize(
    ("template", "as_rfc4514"),  # which writes the last part first
    [
        ("CN=meter-{index:6},O=Example", "O=Example,CN=meter-000007"),
        ("C=DE, O=Example, CN={cohort}-{index}", "CN=north-7,O=Example,C=DE"),
        ("CN=a+serialNumber={index:3}", "CN=a+2.5.4.5=007"),
        (r"CN=a\,b\2B\C3\A4", r"CN=a\,b\+ä"),
        (r"CN=\{index\}", "CN={index}"),
        ("1.2.3.4=x", "1.2.3.4=x"),
    ],
)
def test_a_template_becomes_a_name_in_the_order_written(template: str, as_rfc4514: str) -> None:
    """Placeholders, escapes, several values in a part, OIDs."""
    assert _subject(template) == as_rfc4514


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "expected parts such as CN=meter-{index:6}, with commas between them (got )"),
        ("meter", "expected parts such as CN=meter-{index:6}, with commas between them (got meter)"),
        ("CN=", "CN= has no value (got CN=)"),
        ("CN=a,,O=b", "expected parts such as CN=meter-{index:6}"),
        ("FOO=a", "unknown attribute FOO: expected one of CN, O, OU"),
        ("CN={idx}", "unknown placeholder {idx}: expected {index}, {index:6}, {cohort} or {hex:8}"),
        ("CN={index:99}", "with at most 32 digits"),
        ("CN={index", "unknown placeholder"),
        ("CN=a}", "unmatched }"),
        ("C=Germany", "C must be a two-letter country code, such as DE (got Germany)"),
        (r"CN=\zz", r"\ must be followed by one of"),
        (r"CN=\FF", r"\FF is not UTF-8"),
    ],
)
def test_a_broken_template_is_refused(template: str, said: str) -> None:
    """At load time, with what was expected."""
    with pytest.raises(UnitError) as caught:
        _subject(template)
    assert said in str(caught.value)


def test_a_name_that_grows_too_long_is_found_by_trying_the_last_device() -> None:
    """A common name has 64 characters: 63 and one digit fit, 63 and two do not."""
    template = f"CN={'x' * 63}{{index}}"
    compile_subject(template, cohort="north", seed=1, devices=(0, 9))
    with pytest.raises(UnitError, match="65"):
        compile_subject(template, cohort="north", seed=1, devices=(0, 10))


def test_hex_digits_are_the_seed_s_and_the_device_s() -> None:
    """The same seed gives the same fleet; another device or seed gives other digits."""
    first = compile_subject("CN={hex:20}", cohort="north", seed=1)
    names = {first(device).rfc4514_string() for device in range(100)}
    assert len(names) == 100
    assert all(len(name) == len("CN=") + 20 for name in names)
    again = compile_subject("CN={hex:20}", cohort="south", seed=1)
    assert again(3) == first(3)
    assert compile_subject("CN={hex:20}", cohort="north", seed=2)(3) != first(3)


def test_sans_of_every_kind() -> None:
    """dns, ip, email and uri, with placeholders."""
    templates = ["dns:meter-{index}.example", "ip:10.0.0.{index}", "ip:::1", "email:m@a.example", "uri:urn:m:{index}"]
    sans = compile_sans(templates, cohort="north", seed=1)(7)
    assert sans is not None
    assert [str(name.value) for name in sans] == [*["meter-7.example", "10.0.0.7", "::1", "m@a.example", "urn:m:7"]]
    assert compile_sans([], cohort="north", seed=1)(7) is None


@pytest.mark.parametrize("template", ["meter", "foo:x", "dns:", "ip:10.0.0.999", "dns:ä", "ip:{hex:8}"])
def test_a_broken_san_is_refused(template: str) -> None:
    """The kind, the name, the address."""
    with pytest.raises(UnitError):
        compile_sans([template], cohort="north", seed=1, devices=(0, 1))


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_template_compiles_or_is_refused(template: str) -> None:
    """Nothing but a UnitError comes out, and what compiles can be encoded."""
    try:
        compile_subject(f"CN={template}", cohort="north", seed=1)(3).public_bytes()
        compile_sans([f"dns:{template}"], cohort="north", seed=1)(3)
    except UnitError:
        pass
