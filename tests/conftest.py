"""What all tests share."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["paceline.testing.plugin"]

# What a test may depend on is a count, never how busy the machine is.
settings.register_profile("paceline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paceline")
