"""What the person at the terminal has chosen to look at."""

from dataclasses import dataclass
from enum import StrEnum


class View(StrEnum):
    """The panes of the dashboard, in the order of their keys."""

    OVERVIEW = "overview"
    DEFERRAL = "deferral"
    ERRORS = "errors"
    COHORTS = "cohorts"

    @property
    def key(self) -> str:
        """Return the key that chooses it, from ``1`` on."""
        return str(list(View).index(self) + 1)


@dataclass(frozen=True, slots=True)
class Viewing:
    """The view, whether it is frozen while the run goes on, and whether anybody reads the keys that change this."""

    view: View = View.OVERVIEW
    frozen: bool = False
    keys: bool = False
