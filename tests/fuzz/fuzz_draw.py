"""Seeded draws: every input of a fuzz run follows from a seed, the target's name and the input's number."""

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_FEW: Final = (0, 1, 1, 1, 1, 2, 2, 3)
_EDGES: Final = (0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**20)


class Draw(random.Random):
    """A source of draws with the words that grammars need."""

    @classmethod
    def of(cls, seed: int, target: str, number: int) -> "Draw":
        """Return the draws of one input."""
        return cls(f"{seed}/{target}/{number}")

    def chance(self, share: float) -> bool:
        """Say yes in this share of cases."""
        return self.random() < share

    def one(self, options: Sequence[T]) -> T:
        """Return one of the options, each as likely as the others."""
        return options[int(self.random() * len(options))]

    def make(self, makers: Sequence[Callable[["Draw"], T]]) -> T:
        """Return what one of the makers makes."""
        return makers[int(self.random() * len(makers))](self)

    def few(self) -> int:
        """Return a small number, mostly 1."""
        return self.one(_FEW)

    def edge(self) -> int:
        """Return a number at which programs break, or its neighbour."""
        return self.one(_EDGES) + self.one((-1, 0, 0, 0, 1))

    def octets(self, most: int) -> bytes:
        """Return up to ``most`` random octets, mostly few."""
        return self.randbytes(int(most * self.random() ** 3))

    def some(self, options: Sequence[T], most: int = 3) -> list[T]:
        """Return up to ``most`` of the options in any order, doubled ones among them."""
        return [self.one(options) for _ in range(int(self.random() * (most + 1)))]
