"""Files that users name: read only where they are files, within a limit, and all by one function."""

import ast
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import estsim
from estsim.errors import UnreadableFile
from estsim.user_files import read_user_file

ROOT: Final = Path(estsim.__file__).parent
READERS: Final = frozenset({"open", "fdopen", "read_text", "read_bytes", "fromfile", "load_verify_locations", "mmap"})
# Who else opens files, and what they are: what estsim itself has made, the kernel's, or files to be written.
OTHERS: Final = {
    ("user_files.py", "open"): "the function itself",
    ("user_files.py", "fdopen"): "the function itself",
    ("cli/streams.py", "open"): "/dev/null",
    ("cli/streams.py", "fdopen"): "stdout and stderr",
    ("cli/export.py", "open"): "writes",
    ("cli/new.py", "open"): "writes",
    ("cli/recipe.py", "read_text"): "a template that comes with estsim",
    ("engine/worker_pool.py", "open"): "writes what a worker process says on stderr",
    ("engine/worker_pool.py", "read_text"): "what a worker process of ours has said on stderr",
    ("fleet/limits.py", "read_text"): "the kernel's settings",
    ("engine/sandbox.py", "open"): "writes what the sandbox's process says on stderr",
    ("fleet/error_log.py", "fdopen"): "writes",
    ("fleet/machine.py", "read_text"): "what the kernel says of the CPU",
    ("fleet/sandbox_folder.py", "read_text"): "what the sandbox of this run wrote into its private folder",
    ("fleet/usage.py", "read_text"): "the kernel's figures",
    ("locust/master/sandbox.py", "open"): "writes what the sandbox's process says on stderr",
    ("scenario/library.py", "open"): "the first line of a scenario that comes with estsim",
    ("server/announcement.py", "open"): "writes a lock",
    ("server/pki.py", "fdopen"): "writes",
    ("server/pki.py", "open"): "writes",
}


def opened() -> Iterator[tuple[str, int, str]]:
    """Yield every call in the source that opens or reads a file: module, line, what is called."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name) if name in READERS:
                    yield str(path.relative_to(ROOT)), node.lineno, name


def test_nobody_else_reads_a_file_that_a_user_names() -> None:
    """Every other place that opens a file has a line above that says whose it is, and each such line a place."""
    calls = list(opened())
    strange = [f"estsim/{module}:{line}: {name}" for module, line, name in calls if (module, name) not in OTHERS]
    assert not strange, "read_user_file is for that:\n" + "\n".join(strange)
    assert set(OTHERS) - {(module, name) for module, _, name in calls} == set()


def _refused(path: Path, most_bytes: int = 10) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_user_file(path, most_bytes=most_bytes)
    assert str(caught.value) == f"{path}: cannot be read: {caught.value.reason}"
    assert caught.value.path == path
    return caught.value.reason


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_is_read_up_to_its_limit(tmp_path: Path, size: int) -> None:
    """Whole, and a byte more is refused; a link is as good as what it points to."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"x" * size)
    link.symlink_to(path)
    assert read_user_file(path, most_bytes=10) == read_user_file(link, most_bytes=10) == b"x" * size
    path.write_bytes(b"x" * 11)
    assert _refused(path) == "it is larger than 10 bytes"


def test_a_file_too_large_is_not_read_at_all(tmp_path: Path) -> None:
    """A terabyte with a hole in it costs nothing."""
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 1 << 40)
    assert _refused(path, 64 << 10) == "it is larger than 64 KiB"
    assert _refused(path, 1 << 20) == "it is larger than 1 MiB"


def test_a_size_of_zero_says_nothing() -> None:
    """Files of the kernel have that size, and something in them all the same."""
    assert Path("/proc/self/mountinfo").stat().st_size == 0
    assert _refused(Path("/proc/self/mountinfo"), 5) == "it is larger than 5 bytes"
    assert read_user_file(Path("/proc/self/mountinfo"), most_bytes=1 << 20)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_pipe, "it is a named pipe, not a file"),
        (_socket, "it is a socket, not a file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
        (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nothing"), "No such file or directory"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    """At once: nobody ever writes to that pipe, and the device never ends."""
    make(tmp_path / "it")
    assert _refused(tmp_path / "it") == reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [("nothing", "No such file or directory"), ("a" * 300, "File name too long"), ("a\0b", "embedded null byte")],
)
def test_a_name_that_no_file_has_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    """With the system's words."""
    assert _refused(tmp_path / name) == reason


def test_a_pipe_that_takes_a_file_s_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the opening; it is not waited for."""
    path = tmp_path / "it"
    path.touch()
    looked_at = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda _: looked_at)
    assert _refused(path) == "it is a named pipe, not a file"
