"""The secret of a link between a Locust master and its workers: where it comes from, and where a link needs none.

It comes from the environment or from a file that its owner alone can read; never from an argument, which everybody on
the machine sees. Without one a link serves this machine only, or whoever says that it may be insecure.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import scrypt
from pathlib import Path
from typing import Final

from estsim.errors import UnreadableFile, UsageError
from estsim.fleet.permission import is_loopback
from estsim.scenario.variables import KEPT_OUT
from estsim.user_files import read_user_file

VARIABLE: Final = KEPT_OUT
INSECURE: Final = (
    "WARNING: the link between master and workers is insecure (--insecure-link): anyone who can reach it can join "
    f"the run, stop it and falsify its results. Set {VARIABLE} on both sides to secure it"
)
SHORT: Final = (
    "the link secret has fewer than 16 characters: anyone who records the traffic can guess it; generate one with "
    "`openssl rand -hex 32`"
)
_KEY_BYTES: Final = 32
_LARGEST_BYTES: Final = 4096
_FEWEST_BYTES: Final = 16
_SALT: Final = b"estsim link"
# RFC 7914 §2, as for interactive logins: 50 ms and 16 MiB, once at the start, and for each guess at a recorded link.
_COST, _BLOCKS, _LANES = 2**14, 8, 1


@dataclass(frozen=True, slots=True)
class Secret:
    """What both ends know, as a key; ``is_shared`` is False for the key of a link without a secret, known to all.

    ``warning`` is what people are to be told of it on both sides.
    """

    key: bytes = field(repr=False)
    is_shared: bool = True
    warning: str | None = None

    @classmethod
    def of(cls, words: bytes) -> "Secret":
        """Return the key of a secret that people have chosen."""
        key = scrypt(words, salt=_SALT, n=_COST, r=_BLOCKS, p=_LANES, dklen=_KEY_BYTES)
        return cls(key, warning=SHORT if len(words) < _FEWEST_BYTES else None)

    @classmethod
    def made(cls) -> "Secret":
        """Return one of nobody's choosing, for processes that are forked from this one."""
        return cls(os.urandom(_KEY_BYTES))


NO_SECRET: Final = Secret(bytes(_KEY_BYTES), is_shared=False)


def secret_for(host: str, *, file: Path | None, insecure: bool, environment: Mapping[str, str], where: str) -> Secret:
    """Return the secret of a link to, or at, a host; none where it needs none. Raises UsageError.

    ``where`` says in messages where that is.
    """
    given = _given(file, environment)
    if insecure and given is not None:
        raise UsageError(f"--insecure-link and a link secret ({given[0]}) are mutually exclusive")
    if given is not None:
        return Secret.of(given[1])
    if insecure:
        return replace(NO_SECRET, warning=INSECURE)
    if is_loopback(host):
        return NO_SECRET
    raise UsageError(
        f"{where}, and the link has no secret: set {VARIABLE} on the master and on all workers, or pass --link-secret "
        "FILE; to run without a secret, pass --insecure-link on both sides"
    )


def _given(file: Path | None, environment: Mapping[str, str]) -> tuple[str, bytes] | None:
    """Return where a secret was given, and what it is; the file counts where there are both."""
    if file is not None:
        return "--link-secret", read_secret(file)
    if VARIABLE not in environment:
        return None
    words = os.fsencode(environment[VARIABLE]).strip()
    if not words:
        raise UsageError(f"{VARIABLE} is empty: set it to a secret, or unset it")
    return VARIABLE, words


def read_secret(file: Path) -> bytes:
    """Return the secret in a file without the white space around it; raises UsageError for one that others can read.

    What is no file is not named: it may be the secret itself, given in the place of its file.
    """
    try:
        words = read_user_file(file, most_bytes=_LARGEST_BYTES, private=True).strip()
    except UnreadableFile as error:
        if not _is_file(file):
            raise UsageError(
                "--link-secret: expected the name of a file that contains the secret, not the secret itself"
            ) from None
        raise UsageError(f"--link-secret: {error}") from error
    if not words:
        raise UsageError(f"--link-secret: {file} is empty")
    return words


def _is_file(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
