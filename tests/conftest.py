"""What all tests share: hypothesis without a deadline, because the machines are noisy."""

from hypothesis import settings

settings.register_profile("estsim", deadline=None)
settings.load_profile("estsim")
