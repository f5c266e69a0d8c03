"""YAML text as data with places: what works, and what is reported where."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.document import Document, Place, parse_document, read_document

FILE = Path("f.yaml")


def _read(text: str) -> Document:
    return parse_document(FILE, text)


def _told(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        _read(text)
    return str(caught.value)


def test_scalars_are_those_of_yaml_1_2() -> None:
    """yes, a date and a clock time are text; 010 is ten; 1_000, a number in YAML 1.1, is text."""
    text = "[yes, off, 2020-01-01, 12:30, 010, 0x1F, 1_000, 1e3, .5, ~, true, 'true', .inf]"
    assert _read(text).root.value == [
        *["yes", "off", "2020-01-01", "12:30", 10, 31, "1_000", 1000.0, 0.5, None, True, "true", float("inf")]
    ]


def test_every_key_and_item_knows_its_place() -> None:
    """Lines and columns count from 1 and point at the key, in a list at the item."""
    document = _read("a:\n  b: [1, {c: 2}]\n")
    assert document.find(("a", "b")) == (("a", "b"), Place(2, 3))
    assert document.find(("a", "b", 1)) == (("a", "b", 1), Place(2, 10))
    assert document.find(("a", "b", 1, "c")) == (("a", "b", 1, "c"), Place(2, 11))


def test_what_is_not_there_is_placed_at_the_nearest_that_is() -> None:
    """A missing key has the place of the mapping that misses it."""
    document = _read("a:\n  b: {}\n")
    assert document.find(("a", "b", "c", "d")) == (("a", "b"), Place(2, 3))
    assert document.find(("x",)) == ((), Place(1, 1))


def test_anchors_and_merge_keys_work_and_keep_the_place_of_what_was_written() -> None:
    """A merged value is reported where it was written, and what stands in the mapping wins."""
    document = _read("base: &base {x: 1, y: 1}\nother: &o {y: 3, z: 3}\nmine:\n  <<: [*base, *o]\n  x: 2\n")
    assert document.root.value["mine"] == {"x": 2, "y": 1, "z": 3}  # type: ignore[index]  # a mapping, as written above
    assert document.find(("mine", "y"))[1] == Place(1, 20)
    assert document.find(("mine", "x"))[1] == Place(5, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f.yaml:1:1: is empty"),
        ("# nothing\n", "f.yaml:1:1: is empty"),
        ("---\n...\n", "f.yaml:1:1: is empty"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "f.yaml:4:3: duplicate key 'c' (first on line 3)"),
        ("a:\n\tb: 1\n", "f.yaml:2:1: is not valid YAML: a tab cannot indent or start a value; use spaces"),
        ("a: [1,", "f.yaml:1:7: is not valid YAML: expected the node content, but found '<stream end>'"),
        (
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: is not valid YAML: a second document starts here; expected one document per file",
        ),
        ("a: *b", "f.yaml:1:4: is not valid YAML: there is no anchor &b; put text that begins with * in quotes"),
        ("a: &a [*a]", "f.yaml:1:4: recursive alias"),
        ("a: !python/object:os.system x", "f.yaml:1:4: the tag !python/object:os.system is not supported"),
        ("? [a]\n: b", "f.yaml:1:3: a key must be text"),
        ("a: !!int x", "f.yaml:1:4: is not a valid int (got x)"),
        ("<<: 3", "f.yaml:1:5: << requires a mapping or a list of mappings"),
        ("a: b\x00", "f.yaml:1:5: contains a control character"),
        ("%YAML 1.1\n---\na: yes\n", "f.yaml:1:1: must be YAML 1.2: remove the %YAML line"),
        ("[" * 1000, "f.yaml:1:65: is nested more than 64 deep"),
        ("- " * 1000, "f.yaml:1:129: is nested more than 64 deep"),
        ("\n".join(f"{' ' * n}a:" for n in range(100)), "f.yaml:64:64: is nested more than 64 deep"),
    ],
)
def test_broken_text_is_told_in_its_place(text: str, said: str) -> None:
    """One line, no traceback, no ruamel words without a place."""
    assert _told(text) == said


def test_all_duplicate_keys_are_told_at_once() -> None:
    """Reading goes on after the first."""
    assert _told("a: 1\na: 2\nb: {c: 1, c: 2}\n").count("duplicate key") == 2


def test_aliases_cannot_unfold_without_end() -> None:
    """The "billion laughs" is refused before it is unfolded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "expands to more than 100000 values" in _told("\n".join(lines))


def test_files_that_cannot_be_read_are_told_cleanly(tmp_path: Path) -> None:
    """Missing, a directory, binary, Latin-1."""
    binary, latin = tmp_path / "b.yaml", tmp_path / "l.yaml"
    binary.write_bytes(bytes(range(256)))
    latin.write_bytes("a: 1\nb: \xe4\n".encode("latin-1"))
    for path, said in [
        (tmp_path / "none.yaml", "1:1: no such file"),
        (tmp_path, "1:1: is a directory, not a file"),
        (binary, "is not UTF-8 text"),
        (latin, "2:4: is not UTF-8 text"),
    ]:
        with pytest.raises(ScenarioError) as caught:
            read_document(path)
        assert str(caught.value).startswith(f"{path}:")
        assert str(caught.value).endswith(said)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Some editors write one."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(path).root.value == {"a": 1}
