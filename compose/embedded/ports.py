"""Which program listens where: the documented ports, or free ones, remembered with the state."""

import random
import re
import socket
from collections.abc import Mapping, Sequence
from contextlib import closing

from compose.embedded.program import CannotStartError

DOCUMENTED = {"hub": 7000, "data-bridge": 8001, "trading-engine": 8007, "database": 8008}
ENGINES = ("postgres", "clickhouse", "valkey", "nats")

_ANOTHER = re.compile(r"-\d+$")

# Below what systems hand out for outgoing connections: a program that restarts finds its port still its own.
_RANGE = range(20_000, 32_000)


def hub_names(count: int) -> tuple[str, ...]:
    """The programs `hub`, `hub-2`, …"""
    return ("hub", *(f"hub-{number}" for number in range(2, count + 1)))


def kind_of(name: str) -> str:
    """What the program is one of: `hub-2` is a `hub`."""
    return _ANOTHER.sub("", name)


def hub_addresses(ports: Mapping[str, int]) -> tuple[str, ...]:
    """host:port of every hub."""
    return tuple(f"127.0.0.1:{port}" for name, port in ports.items() if kind_of(name) == "hub")


def choose_ports(remembered: Mapping[str, int], auto: bool, hubs: int = 1) -> dict[str, int]:
    """A port for every program that listens.

    What is remembered is kept. A port that is taken by now is replaced where nobody outside knows it: an engine's
    always, a program's when `auto` was asked for.

    Raises:
        CannotStartError: a program's port is taken; names it and the program.
    """
    documented = {name: DOCUMENTED["hub"] + number for number, name in enumerate(hub_names(hubs))} | DOCUMENTED
    ports: dict[str, int] = {}
    missing = []
    for name in (*documented, *ENGINES):
        port = remembered.get(name) or (0 if auto else documented.get(name, 0))
        if port and is_free(port):
            ports[name] = port
        elif port and not auto and name in documented:
            raise CannotStartError(
                f"port {port} of {name} is in use by another program: end that one, or start with --ports auto"
            )
        else:
            missing.append(name)
    return ports | dict(zip(missing, free_ports(len(missing), avoid=tuple(ports.values())), strict=True))


def free_ports(count: int, avoid: Sequence[int] = ()) -> list[int]:
    """`count` different ports of loopback that are free now."""
    found: list[int] = []
    for port in random.sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            break
        if port not in avoid and is_free(port):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with closing(socket.socket()) as probe:
        # As servers do: what lingers of closed connections does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
