"""RFC 7030 as pure functions: operations, messages, outcomes, CSRs and the checks on what a server answers.

No I/O, no clock, no randomness. Imports nothing of estsim but ``units`` and ``errors``.
"""
