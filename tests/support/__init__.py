"""What tests share."""

from tests.support.waiting import eventually, free_port

__all__ = ["eventually", "free_port"]
