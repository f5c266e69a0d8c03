"""The trio driver: it runs a fleet live, in one process or in several."""
