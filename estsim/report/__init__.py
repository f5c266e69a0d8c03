"""The HTML page and the exported files of a run, from its stored rows and tallies."""
