"""What is told where strangers bring it about, or may read it: each thing once, and nothing of a file's content."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from estsim.errors import EstsimError, ScenarioError
from estsim.units import harmless

_MOST: Final = 100  # different ones


@dataclass(slots=True)
class ToldOnce:
    """Tells each line once, and after a hundred different ones nothing more, but for a word that there are more."""

    tell: Callable[[str], None]
    _told: set[str] = field(default_factory=set)

    def __call__(self, line: str) -> None:
        """Tell a line, if it was not told yet."""
        if line in self._told or len(self._told) > _MOST:
            return
        self._told.add(line)
        self.tell(line if len(self._told) <= _MOST else "further messages of this kind are suppressed")


def unquoted(error: EstsimError) -> str:
    """Return an error without what it quotes of a file: for logs that others see, who may not read that file."""
    if not isinstance(error, ScenarioError):
        return str(error)
    places = dict.fromkeys(f"{harmless(str(each.file))}:{each.line}:{each.column}" for each in error.mistakes)
    return f"{', '.join(places)}: not a valid scenario; run `estsim validate` for details"
