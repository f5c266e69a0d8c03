"""Each device's network, drawn from its cohort's: the distance once for the device, the luck for every connection.

Pure: the same seed gives the same paths in any process, however often a device connects elsewhere.
"""

from typing import Final

from estsim.load.streams import Purpose, uniform
from estsim.net.shaping import FAILURE_PHASES, LinkFailure, LinkFailureKind, Path
from estsim.scenario.plan import Network

_DRAWS: Final = 3  # for each connection: whether, in which flight, how far into it


def path_of(network: Network, *, seed: int, device: int, connection: int) -> Path:
    """Return what the network is to a device's nth connection, counted from 1."""
    rtt_s = 0.0
    if network.rtt_s is not None:
        rtt_s = max(0.0, network.rtt_s.at(uniform(seed, device, Purpose.DISTANCE, 0)))
    failure = _failure(network, seed, device, connection) if has_link_failures(network) else None
    return Path(rtt_s, network.rate_bps, failure)


def has_link_failures(network: Network) -> bool:
    """Say whether connections may end in the network."""
    return bool(network.stall or network.reset)


def _failure(network: Network, seed: int, device: int, connection: int) -> LinkFailure | None:
    whether, flight, share = (
        uniform(seed, device, Purpose.MISHAP, connection * _DRAWS + draw) for draw in range(_DRAWS)
    )
    if whether >= network.stall + network.reset:
        return None
    kind = LinkFailureKind.STALL if whether < network.stall else LinkFailureKind.RESET
    return LinkFailure(kind, FAILURE_PHASES[int(flight * len(FAILURE_PHASES))], share)
