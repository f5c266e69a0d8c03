"""What happened, once: samples, tallies, the recorder of a process, and the store with rows and tallies."""
