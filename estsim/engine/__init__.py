"""The drivers: the trio engine that runs a fleet live, and the virtual-time driver that needs no network."""
