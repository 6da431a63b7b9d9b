"""Options and fixtures of every tier."""

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mesh.plain_structlog import structlog

# The same examples in every run, so that a red build is about the change; `--hypothesis-profile=random` explores.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", max_examples=2000, deadline=None)
settings.load_profile("same")

pytest_plugins = ["tests.support.engines", "tests.support.go", "tests.support.kafka"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", type=Path, default=None, help="folder with the real ticks (docs/architecture.md)")
    parser.addoption("--chaos-minutes", type=float, default=0, help="how long the storms last (default: seconds)")
    parser.addoption("--chaos-seed", type=int, default=1, help="what happens in the storm, and when")
    parser.addoption("--wine", default=None, help="python.exe with MetaTrader5, to run under Wine (docs/twin.md)")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What a test sets up of the process's logs ends with it."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configured)
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def wine_python(request: pytest.FixtureRequest) -> str:
    """A Windows Python that has the real MetaTrader5 package; tests that need it skip without it."""
    python: str | None = request.config.getoption("--wine")
    if python is None:
        pytest.skip("the real package: no --wine PYTHON_EXE given")
    return python


def pytest_unconfigure() -> None:
    # Hypothesis counts collections to the very end, and so keeps modules of C++ alive that complain of it (DuckDB's).
    gc.callbacks.clear()


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of real ticks; tests that need it skip without it."""
    folder: Path | None = request.config.getoption("--data")
    if folder is None:
        pytest.skip("real ticks: no --data DIR given")
    if not folder.is_dir():
        pytest.skip(f"real ticks: {folder} is not a folder")
    return folder
