"""One profile for every generated test of the core: repeatable, and without a clock."""

import pytest
from hypothesis import HealthCheck, settings

# So that a failing specification shows both sides.
pytest.register_assert_rewrite(
    "tests.spec", "tests.meeting_core.audit", "tests.meeting_core.bookkeeping_oracle"
)

settings.register_profile(
    "core",
    database=None,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("core")
