"""How resources are wrapped."""

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from suho.envoy.v3 import core_pb2

FROM_THIS_STREAM = core_pb2.ConfigSource(ads=core_pb2.AggregatedConfigSource(), resource_api_version=core_pb2.V3)


def packed(message: Message) -> Any:
    """A message in an `Any`."""
    made = Any()
    made.Pack(message)
    return made
