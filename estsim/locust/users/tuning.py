"""How a process of Locust's collects garbage while it plays a fleet: rarely, and not what stays anyway.

A fleet is many small objects that stay to the end, and exchanges leave no rings behind. Looking through all of them
every 700 allocations costs a tenth of an enrolment; for the other users in the process it is no loss.
"""

import gc
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 50)


def collect_rarely() -> None:
    """Take the fleet, now made, out of the collector's sight, and let it look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
