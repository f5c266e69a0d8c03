"""The states of a worker's session: of the worker, of its devices, and what follows when these have stopped."""

from enum import Enum


class State(Enum):
    """Where a worker stands; the values are what Locust is told."""

    CALLING = "calling"  # not told: nobody listens
    READY = "ready"
    SPAWNING = "spawning"
    RUNNING = "running"
    STOPPING = "stopping"


class Fleet(Enum):
    """Where its devices stand."""

    NONE = "none"
    MAKING = "making"
    PLAYING = "playing"


class After(Enum):
    """What follows when the fleet has stopped."""

    SERVE = "serve"  # the same master, another test
    REPLACE = "replace"  # the same master, with another plan at once
    RETURN = "return"  # a master that has yet to be found
    LEAVE = "leave"
