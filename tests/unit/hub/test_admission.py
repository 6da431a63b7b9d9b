"""What may be registered."""

from dataclasses import replace
from typing import Any

import pytest

from hub.domain.admission import AdmissionError, admit, admit_status, is_routable
from hub.domain.health import Probe, ProbeKind
from hub.domain.instance import Address, Instance
from hub.domain.status import Status

TOKEN = "a-token-long-enough"
GOOD = Instance(
    id="database-1",
    service="database",
    addresses=(Address("grpc", "127.0.0.1", 8008),),
    grpc_services=("suho.database.v1.TickService",),
    dependencies=("hub",),
    status=Status.UP,
)


def test_a_good_registration_is_admitted() -> None:
    """Nothing is raised, for IPv6, published addresses and host names either."""
    admit(GOOD, TOKEN)
    admit(replace(GOOD, addresses=(Address("grpc", "::1", 1, "192.0.2.1", 2),)), TOKEN)
    admit(replace(GOOD, addresses=(Address("grpc", "database_1.inside.example.", 1, "3.example", 2),)), TOKEN)
    admit(replace(GOOD, probe=Probe(ProbeKind.HTTP, "grpc", "/healthz?deep=1")), TOKEN)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"service": "mesh"}, "a name of the mesh itself"),
        ({"service": "agent-ticks"}, "a name of the mesh itself"),
        ({"id": "a/b"}, "instance id"),
        ({"id": "x" * 129}, "instance id"),
        ({"service": "Database"}, "service"),
        ({"weight": 0}, "weight"),
        ({"status": Status.EXPIRED}, "EXPIRED"),
        ({"status_reason": "x" * 2000}, "reason"),
        ({"addresses": (Address("grpc", "local host", 1),)}, "host name"),
        ({"addresses": (Address("grpc", "127.0.0.256", 1),)}, "host name"),
        ({"addresses": (Address("grpc", "0.0.0.0", 1),)}, "nobody can dial"),
        ({"addresses": (Address("grpc", "127.0.0.1", 0),)}, "port"),
        ({"addresses": (Address("grpc", "127.0.0.1", 1, "-outside.example"),)}, "host name"),
        ({"addresses": (Address("grpc", "127.0.0.1", 1), Address("grpc", "127.0.0.1", 2))}, "twice"),
        ({"addresses": ()}, "no address named 'grpc'"),
        ({"grpc_services": ("no spaces",)}, "no full service name"),
        ({"grpc_services": tuple(f"a.S{n}" for n in range(65))}, "more than 64"),
        ({"dependencies": ("Nobody",)}, "dependencies"),
        ({"metadata": {str(n): "" for n in range(33)}}, "metadata"),
        ({"metadata": {"key": "x" * 2000}}, "metadata"),
        ({"probe": Probe(ProbeKind.TCP, "metrics")}, "no address is named 'metrics'"),
        ({"probe": Probe(ProbeKind.HTTP, path="healthz")}, "must begin with '/'"),
        ({"probe": Probe(ProbeKind.HTTP, path="/x\r\nFLUSHALL")}, "encoded"),
        ({"probe": Probe(ProbeKind.GRPC, path="/healthz")}, "no full gRPC service name"),
        ({"probe": Probe(ProbeKind.REDIS, path="/")}, "asks for no path"),
        ({"probe": Probe(ProbeKind.TCP), "addresses": (), "grpc_services": ()}, "no address to ask"),
    ],
)
def test_a_wrong_registration_is_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    """The sentence names the field."""
    with pytest.raises(AdmissionError, match=says):
        admit(replace(GOOD, **wrong), TOKEN)


def test_a_token_must_be_hard_to_guess() -> None:
    """It is what tells two processes apart."""
    with pytest.raises(AdmissionError, match="token"):
        admit(GOOD, "short")


def test_expired_is_the_hubs_word() -> None:
    """An instance says every other status of itself."""
    for status in set(Status) - {Status.EXPIRED}:
        admit_status(status)
    with pytest.raises(AdmissionError):
        admit_status(Status.EXPIRED)


def test_what_every_program_serves_is_nobodys() -> None:
    """Health, reflection and channelz are routed to no service."""
    assert is_routable("suho.database.v1.TickService")
    assert not is_routable("grpc.health.v1.Health")
    assert not is_routable("grpc.reflection.v1.ServerReflection")
