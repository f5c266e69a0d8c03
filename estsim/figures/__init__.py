"""What it means: the table of metrics, incidence, synchrony, thresholds, the typed summary, and the live figures."""
