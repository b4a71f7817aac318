"""One profile for every generated test of the core: repeatable, and without a clock."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "core",
    database=None,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("core")
