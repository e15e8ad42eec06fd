"""The one client of model servers: constrained generation, first-token probabilities, adapters."""
