"""``python -m estsim``: the command line."""

from estsim.cli.app import main

main()
