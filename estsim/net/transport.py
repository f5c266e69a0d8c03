"""HTTP/1.1 over a connection that the caller opened: an httpx transport on h11, and one shared client (RFC 9112).

httpx pools no connections here: a device's connection carries its identity, so the device's task opens it and hands it
in with each request. The answer's body is read whole, since every EST message is small.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import h11
import httpx
import trio

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.net.connection import TlsConnection, WireStamps
