"""Configurations between the wire and the domain."""

from typing import Any

from google.protobuf.struct_pb2 import Struct
from suho.hub.v1 import config_pb2 as pb
from suho.hub.v1 import store_pb2

from hub.domain.admission import AdmissionError
from hub.domain.configuration import MAX_BYTES, ConfigTarget, Configuration, Effective, Version
from mesh.structs import struct_of, values_of


def target_from(message: pb.ConfigTarget) -> ConfigTarget:
    """What a document is for. Nothing is judged here."""
    return ConfigTarget(message.service, message.instance)


def target_to(target: ConfigTarget) -> pb.ConfigTarget:
    """A target on the wire."""
    return pb.ConfigTarget(service=target.service, instance=target.instance)


def values_from(message: Struct) -> dict[str, Any]:
    """Values as JSON has them. Nothing is judged here but what would not be read.

    Raises:
        AdmissionError: too large.
    """
    if message.ByteSize() > 4 * MAX_BYTES:
        raise AdmissionError(f"the values take {message.ByteSize()} bytes; at most {MAX_BYTES} are kept")
    return values_of(message)


def version_from(message: pb.ConfigVersion) -> Version:
    """A version as a hub wrote it.

    Raises:
        AdmissionError: its values are too large.
    """
    return Version(
        message.version,
        values_from(message.values),
        message.reason,
        message.by,
        message.changed_unix_ms,
        message.rolled_back_to,
    )


def version_to(version: Version, *, values: bool = True) -> pb.ConfigVersion:
    """A version on the wire, with its values or without."""
    made = pb.ConfigVersion(
        version=version.number,
        reason=version.reason,
        by=version.by,
        changed_unix_ms=version.changed_unix_ms,
        rolled_back_to=version.rolled_back_to,
    )
    if values:
        made.values.CopyFrom(struct_of(version.values))
    return made


def effective_to(effective: Effective) -> pb.EffectiveConfig:
    """What counts for a target, on the wire."""
    made = pb.EffectiveConfig(target=target_to(effective.target), revision=effective.revision)
    made.values.CopyFrom(struct_of(effective.values))
    if effective.of_service is not None:
        made.of_service.CopyFrom(version_to(effective.of_service, values=False))
    if effective.of_instance is not None:
        made.of_instance.CopyFrom(version_to(effective.of_instance, values=False))
    return made


def configuration_from(message: store_pb2.StoredConfig) -> Configuration:
    """A target's versions as a hub wrote them.

    Raises:
        AdmissionError: there is none, or one can not be read.
    """
    if not message.versions:
        raise AdmissionError("a configuration has at least one version")
    return Configuration(target_from(message.target), tuple(version_from(item) for item in message.versions))


def configuration_to(configuration: Configuration) -> store_pb2.StoredConfig:
    """A target's versions as they are kept."""
    return store_pb2.StoredConfig(
        target=target_to(configuration.target), versions=[version_to(item) for item in configuration.versions]
    )
