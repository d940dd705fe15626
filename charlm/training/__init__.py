"""Training: the loop, the plan of a run, and its files. Needs torch."""
