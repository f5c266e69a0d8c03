"""The console that commands print on: as rich has it, at a size that a terminal can have."""

from typing import Final

from rich.console import Console, ConsoleDimensions

_USUAL: Final = ConsoleDimensions(80, 25)  # of a terminal that does not say
_LARGEST: Final = ConsoleDimensions(1000, 400)  # a wall of screens; a frame of more is megabytes, twice a second


class SizedConsole(Console):
    """A console whose size is never absurd, whatever COLUMNS, LINES or the terminal say.

    No width at all is the usual one; one of ten thousand columns and lines is cut, for each frame fills the whole.
    """

    @property
    def size(self) -> ConsoleDimensions:
        """The size in cells, as it is now."""
        width, height = super().size
        return ConsoleDimensions(
            min(width, _LARGEST.width) if width > 0 else _USUAL.width,
            min(height, _LARGEST.height) if height > 0 else _USUAL.height,
        )

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size
