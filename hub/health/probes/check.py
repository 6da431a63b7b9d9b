"""What every probe is: one question to one address, answered, or a sentence that says what is wrong."""

from dataclasses import dataclass
from typing import Protocol


class ProbeError(Exception):
    """It does not work, or not yet; the text says why, as people say it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and what for (HTTP: the path; gRPC: the service)."""

    ip: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class Check(Protocol):
    """One kind of probe. It has no timeout of its own, and reads no more than it needs, whatever it is sent."""

    async def __call__(self, target: Target) -> str:
        """Ask; gives what is worth a note though it works, mostly nothing.

        Raises:
            ProbeError: it answered, but not as it should.
            OSError, EOFError: it can not be reached, or hung up.
        """
        ...
