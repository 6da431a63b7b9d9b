"""What is not ours and yet belongs to the system: engines and servers that do not register themselves."""

import re
from types import MappingProxyType
from urllib.parse import urlsplit

from hub.domain.admission import AdmissionError, admit
from hub.domain.health import Probe, ProbeKind
from hub.domain.instance import Address, Instance

INFRASTRUCTURE = "infrastructure"
"""The metadata that tells it apart."""

_METADATA = MappingProxyType({INFRASTRUCTURE: "true"})
_ENGINES = {kind.lower(): kind for kind in ProbeKind if kind not in (ProbeKind.NONE, ProbeKind.GRPC)}
# Other makes of an engine speak its protocol, and bear names of their own.
_KINDS = {**_ENGINES, "grpc": ProbeKind.GRPC, "valkey": ProbeKind.REDIS, "dragonfly": ProbeKind.REDIS}
_NAMED_BY_ID = ("http", "tcp", "grpc")
_NUMBER = re.compile(r"-\d+$")
_SHAPE = "ID=KIND://host:port[/path]"


class InfrastructureError(ValueError):
    """The entry is wrong; the text says what to put right."""


def infrastructure_of(entry: str) -> Instance:
    """The instance that an entry `ID=KIND://host:port[/path]` describes.

    Its service is named after the kind of engine or, where the kind says little (http, tcp, grpc), after the id
    without its number.

    Raises:
        InfrastructureError: it is wrong.
    """
    instance_id, separator, url = entry.partition("=")
    if not separator or not instance_id:
        raise InfrastructureError(f"{_shown(entry)} names no instance; write {_SHAPE}")
    kind, host, port, path = _parts(entry, url)
    if kind not in _KINDS:
        raise InfrastructureError(
            f"{instance_id}: {kind[:32]!r} is no kind of probe; take one of {', '.join(sorted(_KINDS))}"
        )
    service = _NUMBER.sub("", instance_id) if kind in _NAMED_BY_ID else kind
    probe_path = path.removeprefix("/") if kind == "grpc" else path.removesuffix("/") if path == "/" else path
    instance = Instance(
        id=instance_id,
        service=service,
        addresses=(Address(kind, host, port),),
        metadata=_METADATA,
        probe=Probe(_KINDS[kind], kind, probe_path),
    )
    try:
        admit(instance, token_of(instance_id))
    except AdmissionError as error:
        raise InfrastructureError(f"{instance_id[:128]}: {error}") from None
    return instance


def token_of(instance_id: str) -> str:
    """Every hub has the same for it, so that any may go on where another left."""
    return f"{INFRASTRUCTURE}/{instance_id}"


def _parts(entry: str, url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InfrastructureError(f"{_shown(entry)}: its host or port is malformed; write {_SHAPE}") from None
    if "@" in parts.netloc:
        raise InfrastructureError(
            f"{_shown(entry)} has credentials; probes need none, and settings are no place for them"
        )
    if not parts.scheme or not host or not port:
        raise InfrastructureError(f"{_shown(entry)} lacks kind, host or port; write {_SHAPE}")
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, host, port, parts.path + query


def _shown(entry: str) -> str:
    """Without what might be a password."""
    head, at, tail = entry.rpartition("@")
    return repr(f"{head.partition('://')[0]}://…@{tail}" if at else entry[:128])
