"""The generator: F2RVLM over model engines, and the life of their adapters."""
