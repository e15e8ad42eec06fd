"""For every test."""

from hypothesis import HealthCheck, settings

# A busy machine is no finding: bounds of time are tests of their own, and count the processor's.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
