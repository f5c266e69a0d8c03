"""Carrying out one ``Exchange`` command over the network: the trio driver's loop around the pure conversation.

The order is DESIGN's: take a key → open the connection → make the request → send → judge the answer → record. The
caller's cancellation cuts the exchange; a row says so before the cancellation goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.device.commands import Exchange
from estsim.device.events import Lifetime
from estsim.device.exchange import Answer, Conversation
from estsim.device.identity import PrivateKey
from estsim.device.states import KeyChoice
from estsim.engine.clock import NS_PER_S, RunClock, to_ns
from estsim.engine.fleet import CohortRun, Device
from estsim.engine.keys import make_key_beside
from estsim.engine.wire import Wire
from estsim.errors import TransportFailed
from estsim.est.enrolment import Cause
from estsim.est.outcome import Abandoned, Challenged, Failed, Issued, Outcome
from estsim.measure.sample import Enrolment, Sample, Stamps
