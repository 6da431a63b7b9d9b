"""What only the long forms run."""

import pytest


@pytest.fixture
def long_form(request: pytest.FixtureRequest) -> None:
    """A test whose promise shorter ones show in part, and that `make test` has no time for."""
    if not request.config.getoption("--chaos-minutes"):
        pytest.skip("a long form: give --chaos-minutes")
