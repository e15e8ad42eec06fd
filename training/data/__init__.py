"""Training data: readers of published formats, and the synthetic world."""
