"""Where a link's secret comes from, and which links need one."""

import os
from pathlib import Path
from typing import Final

import pytest

from estsim.errors import UsageError
from estsim.fleet.link_secret import INSECURE, NO_SECRET, SHORT, VARIABLE, Secret, read_secret, secret_for

WORDS: Final = "correct horse battery staple"


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write one."""
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def secret(host: str, *, file: Path | None = None, insecure: bool = False, variable: str | None = None) -> Secret:
    """Return the secret of a link to a host."""
    environment = {} if variable is None else {VARIABLE: variable}
    return secret_for(host, file=file, insecure=insecure, environment=environment, where=f"the master is at {host}")


def test_the_variable_and_the_file_give_the_same_secret(tmp_path: Path) -> None:
    """White space around it does not count; the file counts where there are both."""
    of_file = secret("10.0.0.1", file=secret_file(tmp_path, f"{WORDS}\n".encode()))
    assert of_file == secret("10.0.0.1", variable=f" {WORDS} ") == Secret.of(WORDS.encode())
    assert of_file.is_shared
    assert of_file.warning is None
    assert secret("10.0.0.1", file=tmp_path / "secret", variable="another") == of_file
    assert secret("10.0.0.1", variable="another") != of_file


def test_no_secret_shows() -> None:
    """Nor the key that it gives."""
    shown = repr(Secret.of(WORDS.encode()))
    assert WORDS not in shown
    assert "key" not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "localhost", "LocalHost"])
def test_on_this_machine_a_link_needs_none(host: str) -> None:
    """The whole of 127.0.0.0/8 is this machine."""
    assert secret(host) is NO_SECRET


@pytest.mark.parametrize(
    "host",
    [
        "*", "", "0.0.0.0", "::",  # noqa: S104 - read, not bound
        "10.0.0.1", "192.168.1.1", "128.0.0.1", "master", "localhost.example.com",
        "127.0.0.1.nip.io", "127.1", "2130706433", "0x7f000001", "::ffff:10.0.0.1", "eth0", "fe80::1",
    ],
)  # fmt: skip
def test_elsewhere_a_link_needs_one(host: str) -> None:
    """Or somebody who says that it may be insecure; a name may be anybody's."""
    with pytest.raises(UsageError, match=f"the link has no secret: set {VARIABLE} on the master and on all workers"):
        secret(host)
    insecure = secret(host, insecure=True)
    assert (insecure.key, insecure.is_shared, insecure.warning) == (NO_SECRET.key, False, INSECURE)
    assert secret(host, variable=WORDS).is_shared


@pytest.mark.parametrize(("words", "warning"), [("fifteen letters", SHORT), ("sixteen letters!", None)])
def test_a_short_secret_is_told(words: str, warning: str | None) -> None:
    """It is used, but a recorded link lets it be guessed."""
    assert secret("10.0.0.1", variable=words).warning == warning


@pytest.mark.parametrize("words", ["", "  ", "\n"])
def test_an_empty_variable_is_no_secret(words: str) -> None:
    """It is a script that has failed: nobody is let in without a word."""
    with pytest.raises(UsageError, match=f"{VARIABLE} is empty"):
        secret("127.0.0.1", variable=words)


def test_a_secret_and_an_insecure_link_do_not_go_together() -> None:
    """Whichever was meant."""
    with pytest.raises(UsageError, match=rf"--insecure-link and a link secret \({VARIABLE}\) are mutually exclusive"):
        secret("10.0.0.1", insecure=True, variable=WORDS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610, 0o601, 0o777])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """By its mode, also through a symbolic link."""
    file = secret_file(tmp_path, WORDS.encode(), mode)
    link = tmp_path / "link"
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(
            UsageError, match=rf"it is readable by other users \(mode 0{mode:o}\); run chmod 600"
        ) as refused:
            read_secret(path)
        assert WORDS not in str(refused.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_s_is_read(tmp_path: Path, mode: int) -> None:
    """Bytes of any kind."""
    assert read_secret(secret_file(tmp_path, b"\xff\x00secret\r\n", mode)) == b"\xff\x00secret"


def test_what_is_no_file_with_a_secret_is_refused(tmp_path: Path) -> None:
    """A secret given in the place of its file is not told to anybody; nothing without an end is read."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    large = secret_file(tmp_path, b"x" * 5000)
    for path, words in (
        (Path(WORDS), "expected the name of a file that contains the secret, not the secret itself"),
        (Path("a\0b"), "expected the name of a file that contains the secret, not the secret itself"),
        (Path(WORDS * 20), "expected the name of a file that contains the secret, not the secret itself"),
        (tmp_path, "Is a directory"),
        (Path("/dev/zero"), "it is a device, not a file"),
        (fifo, "it is a named pipe, not a file"),
        (large, "it is larger than 4 KiB"),
    ):
        with pytest.raises(UsageError) as refused:
            read_secret(path)
        assert words in str(refused.value)
        assert WORDS not in str(refused.value)
    with pytest.raises(UsageError, match="is empty"):
        read_secret(secret_file(tmp_path, b"\n"))
