"""The order of the steps of each capability, and nothing else."""
