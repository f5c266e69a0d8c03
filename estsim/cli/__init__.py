"""One file per verb; the only place that prints to the terminal or exits."""
