"""When devices are meant to act: arrivals and seeded draws. Pure: no clock, no I/O, no generator objects."""
