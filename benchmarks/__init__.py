"""Measurements side by side: one run, the same weights, repeated and interleaved."""
