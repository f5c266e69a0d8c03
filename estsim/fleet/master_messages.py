"""The names of the messages between a Locust master and its workers that are estsim's own, and what is in them.

``hello`` (worker): protocol, version, the public key of its manufacturer. ``plan`` (master): a packed briefing.
``clock``: a question with the worker's time, answered with both. ``parcel`` (worker): a packed parcel, how the clocks
stand, whether it is the last. ``refused`` (master): why the worker cannot work here.
"""

from typing import Final

PROTOCOL: Final = 1
HELLO: Final = "estsim-hello"
PLAN: Final = "estsim-plan"
CLOCK: Final = "estsim-clock"
PARCEL: Final = "estsim-parcel"
REFUSED: Final = "estsim-refused"
