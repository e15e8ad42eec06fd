"""Checks training files in the published formats; says of every problem where it is and why."""
