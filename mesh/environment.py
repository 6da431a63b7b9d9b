"""The environment: no other module touches it, and it needs nothing that takes a process long to load."""

import os
from collections.abc import Mapping


def environment(name: str) -> str:
    """The variable's value; empty when it is not set."""
    return os.environ.get(name, "")


def environment_names(prefix: str) -> list[str]:
    """Variables that begin with `prefix`."""
    return sorted(name for name in os.environ if name.startswith(prefix))


def export(name: str, value: str) -> None:
    """Set a variable for libraries in this process that read it (gRPC's xDS bootstrap)."""
    os.environ[name] = value


def quiet_grpc() -> None:
    """Let gRPC's core be silent, unless the environment says otherwise: what fails reaches the caller as a status.

    Before gRPC is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra`, for a child."""
    return {**os.environ, **extra}
