"""Which devices a share of a cohort means: an exact count, chosen by seed, the same for any number of workers.

Every device has a rank, a draw of its own; the first in the ranking are chosen. Of one ranking several shares can be
cut that have no device in common.
"""

from collections.abc import Iterable
from math import floor

from estsim.load.streams import uniform


def count_of(share: float, devices: int) -> int:
    """Return how many devices a share of them is, halves rounded up: 10 % of 15 are 2."""
    return min(devices, floor(share * devices + 0.5))


def ranking(first: int, devices: int, *, seed: int, purpose: int, counter: int = 0) -> list[int]:
    """Return the devices ``first``, ``first + 1``, … in an order drawn for a purpose; ``counter`` tells draws apart."""
    return sorted(range(first, first + devices), key=lambda device: (uniform(seed, device, purpose, counter), device))


def chosen(share: float, first: int, devices: int, *, seed: int, purpose: int, counter: int = 0) -> tuple[int, ...]:
    """Return the share's devices, in the order of the ranking; a larger share of the same draw holds a smaller one."""
    return tuple(ranking(first, devices, seed=seed, purpose=purpose, counter=counter)[: count_of(share, devices)])


def parted(shares: Iterable[float], first: int, devices: int, *, seed: int, purpose: int) -> list[tuple[int, ...]]:
    """Return the devices of each share, none in two; where the shares ask for more than there are, the last lack."""
    ranked = ranking(first, devices, seed=seed, purpose=purpose)
    parts, begin = [], 0
    for share in shares:
        end = begin + count_of(share, devices)
        parts.append(tuple(ranked[begin:end]))
        begin = end
    return parts
