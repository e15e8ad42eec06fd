"""Trains and publishes the checkpoints that the services run."""
