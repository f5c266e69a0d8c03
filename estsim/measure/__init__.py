"""Records to numbers: samples, histograms, deferral figures, the run store, summary and thresholds."""
