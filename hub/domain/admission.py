"""What may be registered: everything a program says of itself is bounded and checked before others rely on it."""

import re
from collections.abc import Collection
from ipaddress import ip_address

from hub.domain.health import Probe, ProbeKind
from hub.domain.instance import GRPC_ADDRESS, Address, Instance
from hub.domain.status import Status

SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
INSTANCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
# What looks like an IPv4 address must be one: no name ends in digits alone.
_HOST_NAME = re.compile(rf"({_HOST_LABEL}\.)*(?![0-9]+\.?$){_HOST_LABEL}\.?")
# What discovery itself is asked for: a service of such a name could not be told from it.
_RESERVED = ("mesh", "agent-signals", "agent-ticks", "agent-records")
_GRPC_SERVICE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_HTTP_PATH = re.compile(r"/[!-~]*")

MAX_LISTED = 64
MAX_METADATA = 32
MAX_WEIGHT = 10_000
MAX_TEXT = 1_024
MIN_TOKEN = 8

_SAID_BY_ITSELF = frozenset(Status) - {Status.EXPIRED}
_SHARED = "grpc."
"""Services every program serves (health, reflection, channelz): nobody owns them and nothing routes by them."""


class AdmissionError(ValueError):
    """The registration or status is wrong; the text says what to put right."""


def is_routable(grpc_service: str) -> bool:
    """Whether discovery routes by this gRPC service name."""
    return not grpc_service.startswith(_SHARED)


def admit(instance: Instance, token: str) -> None:
    """Check a registration.

    Raises:
        AdmissionError: naming the field.
    """
    _require(INSTANCE_ID.fullmatch(instance.id), f"instance id {instance.id!r}: letters, digits, '.', '_', '-'; 1-128")
    _service_name("service", instance.service)
    _require(
        instance.service not in _RESERVED, f"service {instance.service!r} is a name of the mesh itself; choose another"
    )
    _require(MIN_TOKEN <= len(token) <= MAX_TEXT, f"token must have {MIN_TOKEN} to {MAX_TEXT} characters")
    for name, text in (("version", instance.version), ("zone", instance.zone)):
        _require(len(text) <= MAX_TEXT, f"{name} is longer than {MAX_TEXT} characters")
    _require(0 < instance.weight <= MAX_WEIGHT, f"weight {instance.weight} is not within 1 to {MAX_WEIGHT}")
    admit_status(instance.status, instance.status_reason)
    _metadata(instance)
    _addresses(instance.addresses)
    _names(instance)
    if instance.probe is not None:
        _probe(instance, instance.probe)


def admit_status(status: Status, reason: str = "") -> None:
    """Check a status that an instance claims.

    Raises:
        AdmissionError: for EXPIRED, which only the hub gives, and for a reason that is too long.
    """
    _require(status in _SAID_BY_ITSELF, f"status {status} is the hub's to give, not an instance's")
    _require(len(reason) <= MAX_TEXT, f"reason is longer than {MAX_TEXT} characters")


def admit_text(what: str, text: str) -> None:
    """Check what a person says of an order or a change.

    Raises:
        AdmissionError: it is empty or too long.
    """
    _require(text.strip(), f"{what!r} is empty: whoever looks must learn why it was done, and by whom")
    _require(len(text) <= MAX_TEXT, f"{what!r} is longer than {MAX_TEXT} characters")


def _names(instance: Instance) -> None:
    _bounded("grpc_services", instance.grpc_services)
    _bounded("dependencies", instance.dependencies)
    for name in instance.grpc_services:
        _require(_GRPC_SERVICE.fullmatch(name) and len(name) <= 255, f"grpc_services: {name!r} is no full service name")
    for name in instance.dependencies:
        _service_name("dependencies", name)
    if instance.grpc_services:
        _require(instance.address(GRPC_ADDRESS), f"it offers gRPC services but has no address named {GRPC_ADDRESS!r}")


def _probe(instance: Instance, probe: Probe) -> None:
    if probe.kind is not ProbeKind.NONE:
        _require(instance.addresses, "probe: there is no address to ask at")
    if probe.address_name:
        _require(instance.address(probe.address_name), f"probe: no address is named {probe.address_name[:128]!r}")
    _require(len(probe.path) <= MAX_TEXT, f"probe: its path is longer than {MAX_TEXT} characters")
    if probe.kind is ProbeKind.GRPC:
        _require(not probe.path or _GRPC_SERVICE.fullmatch(probe.path), "probe: its path is no full gRPC service name")
    elif probe.kind is ProbeKind.HTTP:
        _require(not probe.path or _HTTP_PATH.fullmatch(probe.path), "probe: its path must begin with '/', encoded")
    else:
        _require(not probe.path, f"probe: {probe.kind} asks for no path")


def _metadata(instance: Instance) -> None:
    _require(len(instance.metadata) <= MAX_METADATA, f"metadata has more than {MAX_METADATA} entries")
    for key, value in instance.metadata.items():
        _require(0 < len(key) <= 128 and len(value) <= MAX_TEXT, f"metadata {key[:128]!r}: key or value is too long")


def _addresses(addresses: tuple[Address, ...]) -> None:
    _bounded("addresses", [address.name for address in addresses])
    for address in addresses:
        _service_name("address name", address.name)
        _host(address.name, address.host)
        if address.published_host:
            _host(address.name, address.published_host)
        _require(0 < address.port <= 65535, f"address {address.name!r}: port {address.port} is not within 1 to 65535")
        _require(address.published_port <= 65535, f"address {address.name!r}: published port is above 65535")


def _host(name: str, host: str) -> None:
    try:
        ip = ip_address(host)
    except ValueError:
        _require(
            len(host) <= 253 and _HOST_NAME.fullmatch(host),
            f"address {name!r}: host {host[:128]!r} is neither an IP literal nor a host name",
        )
        return
    _require(not ip.is_unspecified, f"address {name!r}: nobody can dial {host}; register the address clients reach")


def _service_name(what: str, name: str) -> None:
    _require(
        SERVICE_NAME.fullmatch(name),
        f"{what} {name[:128]!r}: 1-63 lower-case letters, digits, '-'; a letter first",
    )


def _bounded(what: str, names: Collection[str]) -> None:
    _require(len(names) <= MAX_LISTED, f"{what} lists more than {MAX_LISTED}")
    _require(len(set(names)) == len(names), f"{what} lists a name twice")


def _require(condition: object, sentence: str) -> None:
    if not condition:
        raise AdmissionError(sentence)
