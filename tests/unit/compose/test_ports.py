"""Which program listens where."""

import socket
from collections.abc import Iterator

import pytest

from compose.embedded.ports import (
    DOCUMENTED,
    ENGINES,
    choose_ports,
    free_ports,
    hub_addresses,
    hub_names,
    is_free,
    kind_of,
)
from compose.embedded.program import CannotStartError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_ports(1)[0]))
        server.listen()
        yield server.getsockname()[1]


def test_free_ports_differ() -> None:
    """Free ports are all different, and none is one to avoid."""
    first = free_ports(20)
    assert len(set(first)) == 20
    assert not set(free_ports(20, avoid=first)) & set(first)


def test_every_listener_gets_a_port() -> None:
    """With free ports asked for, each program and engine gets one of its own."""
    ports = choose_ports({}, auto=True)
    assert set(ports) == {*DOCUMENTED, *ENGINES}
    assert len(set(ports.values())) == len(ports)


def test_ports_are_remembered() -> None:
    """What was chosen is chosen again, asked for or not."""
    ports = choose_ports({}, auto=True)
    assert choose_ports(ports, auto=True) == ports
    assert choose_ports(ports, auto=False) == ports


def test_a_taken_port_is_an_error(taken: int) -> None:
    """A program's taken port names the program, the port and the way out."""
    assert not is_free(taken)
    remembered = choose_ports({}, auto=True) | {"hub": taken}
    with pytest.raises(CannotStartError, match=rf"port {taken} of hub is in use.*--ports auto"):
        choose_ports(remembered, auto=False)


def test_a_taken_port_is_replaced(taken: int) -> None:
    """An engine's taken port is replaced, and a program's too when free ports were asked for."""
    remembered = choose_ports({}, auto=True)
    assert choose_ports(remembered | {"nats": taken}, auto=False)["nats"] != taken
    assert choose_ports(remembered | {"hub": taken}, auto=True)["hub"] != taken


def test_every_hub_has_a_port() -> None:
    """The first is where it always was, the others behind it; with free ports each has one of its own."""
    assert [name for name in choose_ports({}, auto=True, hubs=3) if kind_of(name) == "hub"] == ["hub", "hub-2", "hub-3"]
    assert hub_names(1) == ("hub",)
    wanted = {"hub": DOCUMENTED["hub"], "hub-2": DOCUMENTED["hub"] + 1}
    if all(is_free(port) for port in (*DOCUMENTED.values(), *wanted.values())):
        assert wanted.items() <= choose_ports({}, auto=False, hubs=2).items()
    ports = choose_ports({}, auto=True, hubs=2)
    assert hub_addresses(ports) == (f"127.0.0.1:{ports['hub']}", f"127.0.0.1:{ports['hub-2']}")
