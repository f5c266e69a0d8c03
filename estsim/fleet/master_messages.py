"""The names of the messages between a Locust master and its workers that are estsim's own, and what is in them.

``hello`` (worker) asks to join: protocol, version, a nonce, whether it has a secret. ``challenge`` (master) answers
with a nonce of its own and proves that it knows the secret; ``join`` (worker) proves the same and brings the public key
of the worker's manufacturer. From then on every message is sealed (:mod:`estsim.fleet.link_auth`). ``plan`` (master): a
packed assignment. ``clock``: a question with the worker's time, answered with both. ``worker report`` (worker): a
packed worker report of a run, how the clocks stand, whether it is the last. ``refused`` (master): why the worker
cannot work here; in the clear before it has joined.
"""

from typing import Final

PROTOCOL: Final = 2
HELLO: Final = "estsim-hello"
CHALLENGE: Final = "estsim-challenge"
JOIN: Final = "estsim-join"
PLAN: Final = "estsim-plan"
CLOCK: Final = "estsim-clock"
WORKER_REPORT: Final = "estsim-parcel"
REFUSED: Final = "estsim-refused"
