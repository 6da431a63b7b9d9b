"""structlog without rich: it loads that with its highlighter whenever it finds it, a tenth of a second in every
program, and nothing here uses them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

__all__ = ["structlog"]


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Whoever imports it meanwhile is told that it is not installed."""
    if package in sys.modules:
        yield
        return
    modules = cast(dict[str, Any], sys.modules)
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]


with _hidden("rich"):
    import structlog
