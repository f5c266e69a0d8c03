"""Settings of this room's tests."""

from hypothesis import settings

# A shared machine may stall any example; how long one takes is no property of the code.
settings.register_profile("estsim", deadline=None)
settings.load_profile("estsim")
