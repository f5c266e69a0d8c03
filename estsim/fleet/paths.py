"""Each device's network, drawn from its cohort's: the distance once for the device, the luck for every connection.

Pure: the same seed gives the same paths in any process, however often a device connects elsewhere.
"""

from typing import Final

from estsim.load.streams import Purpose, uniform
from estsim.net.shaping import STRUCK, Blow, Mishap, Path
from estsim.scenario.plan import Network

_DRAWS: Final = 3  # for each connection: whether, in which flight, how far into it


def path_of(network: Network, *, seed: int, device: int, connection: int) -> Path:
    """Return what the network is to a device's nth connection, counted from 1."""
    rtt_s = 0.0
    if network.rtt_s is not None:
        rtt_s = max(0.0, network.rtt_s.at(uniform(seed, device, Purpose.DISTANCE, 0)))
    mishap = _mishap(network, seed, device, connection) if has_mishaps(network) else None
    return Path(rtt_s, network.rate_bps, mishap)


def has_mishaps(network: Network) -> bool:
    """Say whether connections may end in the network."""
    return bool(network.stall or network.reset)


def _mishap(network: Network, seed: int, device: int, connection: int) -> Mishap | None:
    whether, flight, share = (
        uniform(seed, device, Purpose.MISHAP, connection * _DRAWS + draw) for draw in range(_DRAWS)
    )
    if whether >= network.stall + network.reset:
        return None
    blow = Blow.STALL if whether < network.stall else Blow.RESET
    return Mishap(blow, STRUCK[int(flight * len(STRUCK))], share)
