"""The fleet as a scenario has it, for every live driver: what devices are born with and share, and the books kept.

Knows no event loop: :mod:`estsim.engine` drives it on trio, :mod:`estsim.locust` on gevent.
"""
