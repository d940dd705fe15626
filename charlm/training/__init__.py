"""Training: the one truncated-BPTT loop, what plans it and what keeps it. Needs torch."""
