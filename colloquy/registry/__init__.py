"""Checkpoints: what they are, whether they are whole, which one a task uses."""
