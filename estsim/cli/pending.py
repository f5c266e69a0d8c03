"""``estsim pending``: lists, approves or rejects a sandbox's pending requests, while it runs or afterwards."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from estsim.cli.complaints import output, remarks, usage_errors
from estsim.cli.console import SizedConsole
from estsim.cli.options import choice, words_of
from estsim.errors import UsageError
from estsim.figures.text import clean
from estsim.server.approval import Approvals, HeldRequest, State
from estsim.server.peer import EMPTY_SUBJECT

_EVERY: Final = "all"
_ID: Final = re.compile("[0-9]{1,18}")  # an INTEGER of SQLite
_ESCAPES: Final = re.compile(r"\\\\|(?:\\[0-9A-F]{2})+")  # an escaped backslash, or octets
_NOTHING: Final = "-"
_NEVER_FOLDED: Final = 1_000_000  # columns


class Action(StrEnum):
    """The action on the requests."""

    LIST = "list"
    APPROVE = "approve"
    REJECT = "reject"


def pending(
    action: Annotated[
        Action,
        typer.Argument(
            parser=choice(Action),
            autocompletion=words_of(Action),
            metavar="list|approve|reject",
            help="Action.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The sandbox's folder (--dir of estsim serve).", show_default=False)
    ],
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Request ids, or all for every waiting request.", show_default=False),
    ] = None,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Reason sent to the client (reject only).")
    ] = None,
    decided: Annotated[bool, typer.Option("--all", help="Include decided requests (list only).")] = False,
) -> None:
    r"""List, approve or reject requests that wait for approval in a sandbox (issue: {mode: manual}).

    The client's next poll returns the certificate of an approved request, or 403 and the reason for a rejected one.
    You can change a decision until the certificate is issued. The sandbox need not be running.

    \b
    Examples:
      estsim pending list my-sandbox
      estsim pending approve my-sandbox 3 4
      estsim pending approve my-sandbox all
      estsim pending reject my-sandbox 5 --reason "not in the inventory"
    """
    with usage_errors():
        _check_options(action, reason, decided=decided)
        numbers = _numbers(action, ids or [])
        approvals = Approvals(directory)
        if action is Action.LIST:
            _show(approvals.list(decided=decided), decided=decided)
        else:
            approved = action is Action.APPROVE
            before = approvals.decide(numbers, approved=approved, reason=reason or "", now_s=time.time())
            _tell(before, State.APPROVED if approved else State.REJECTED)


def _check_options(action: Action, reason: str | None, *, decided: bool) -> None:
    if reason is not None and action is not Action.REJECT:
        raise UsageError(f"--reason: requires reject (got {action})")
    if reason is not None and not reason.isprintable():
        raise UsageError("--reason: must be one line without control characters")
    if decided and action is not Action.LIST:
        raise UsageError(f"--all: requires list; for every waiting request: estsim pending {action} DIR all")


def _numbers(action: Action, words: Sequence[str]) -> list[int] | None:
    """Read the ids, None for all waiting requests."""
    if action is Action.LIST:
        if words:
            raise UsageError(f"ID: list takes no ids (got {' '.join(words)})")
        return None
    if not words:
        raise UsageError(f"ID: expected ids to {action}, or all (got none)")
    if list(words) == [_EVERY]:
        return None
    for word in words:
        if not _ID.fullmatch(word):
            raise UsageError(f"ID: expected ids from estsim pending list, or all on its own (got {word})")
    return [int(word) for word in words]


def _tell(before: Sequence[HeldRequest], now: State) -> None:
    """Print the decisions, and those that they replace."""
    with remarks():
        if not before:
            typer.echo("No requests wait for approval.")
        for request in before:
            typer.echo(f"{now} {request.id}: {_name(request)}{_changed(request, now)}")


def _name(request: HeldRequest) -> str:
    return clean(_visible(request.subject) or ", ".join(request.sans) or EMPTY_SUBJECT)


def _visible(subject: str) -> str:
    """Return a subject with a dot for each unprintable character, instead of its escape (RFC 4514 §2.4)."""
    return _ESCAPES.sub(lambda found: found[0] if found[0] == "\\\\" else _dots(found[0]), subject)


def _dots(escapes: str) -> str:
    octets = bytes.fromhex(escapes.replace("\\", ""))
    return "·" * len(octets.decode("utf-8", "replace"))


def _changed(request: HeldRequest, now: State) -> str:
    if request.state is State.WAITING:
        return ""
    return " (unchanged)" if request.state is now else f" (was {request.state})"


def _show(requests: Sequence[HeldRequest], *, decided: bool) -> None:
    with output():
        if requests:
            console = _console()
            console.print(_table(requests, decided=decided, folds=console.is_terminal))
        else:
            typer.echo("The sandbox has no requests." if decided else "No requests wait for approval.")


def _console() -> Console:
    """Return a console that folds lines only on a terminal: in a pipe, each request is one line."""
    if sys.stdout.isatty():
        return SizedConsole(highlight=False)
    return Console(width=_NEVER_FOLDED, force_terminal=False, no_color=True, highlight=False)


class _Column(NamedTuple):
    """A column of the list; ``cut_to`` is its width on a terminal."""

    heading: str
    text: Callable[[HeldRequest], str]
    is_number: bool = False
    may_fold: bool = False
    cut_to: int | None = None


# A terminal is too narrow for all columns: there, the columns of a group are below each other.
_GROUPS: Final[tuple[tuple[_Column, ...], ...]] = (
    (_Column("id", lambda request: str(request.id), is_number=True),),
    (
        _Column("subject", lambda request: _visible(request.subject), may_fold=True),
        _Column("names", lambda request: ", ".join(request.sans), may_fold=True),
    ),
    (
        _Column("key", lambda request: request.key),
        _Column("key sha256", lambda request: request.key_sha256, cut_to=16),
    ),
    (
        _Column("since", lambda request: _moment(request.since_unix)),
        _Column("center", lambda request: request.center),
    ),
    (_Column("polls", lambda request: str(request.polls), is_number=True),),
)
_DECISION: Final = (
    _Column("state", lambda request: request.state),
    _Column("reason", lambda request: request.reason, may_fold=True),
)


def _table(requests: Sequence[HeldRequest], *, decided: bool, folds: bool) -> Table:
    """Return a row for each request, as plain text without markup."""
    groups = (*_GROUPS, _DECISION) if decided else _GROUPS
    if not folds:
        groups = tuple((column,) for group in groups for column in group)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for group in groups:
        table.add_column(
            "\n".join(column.heading for column in group),
            justify="right" if group[0].is_number else "left",
            no_wrap=not any(column.may_fold for column in group),
            overflow="fold",
        )
    for request in requests:
        table.add_row(*(Text("\n".join(_cells(request, group, folds=folds))) for group in groups))
    return table


def _cells(request: HeldRequest, group: Iterable[_Column], *, folds: bool) -> Iterator[str]:
    for column in group:
        text = clean(column.text(request)) or _NOTHING
        yield text[: column.cut_to] if folds else text


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
