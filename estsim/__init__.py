"""estsim: a device-fleet simulator and load generator for EST servers (RFC 7030)."""

from typing import Final

__version__: Final = "0.1.0"
