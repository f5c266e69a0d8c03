"""The simulated device: states, machine, policy, identity, exchange.

Pure: it never sleeps, reads a clock, touches a socket or draws from a global generator.
"""
