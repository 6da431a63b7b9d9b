"""What a server tells of its contract, for grpcurl and its like."""

from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, names: list[str]) -> None:
    """Under v1alpha's name and v1's: the messages are the same on the wire, the package serves only the older."""
    names = [*names, reflection.SERVICE_NAME, REFLECTION_V1]
    _know_v1()
    servicer = reflection.aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
            for name in (reflection.SERVICE_NAME, REFLECTION_V1)
        )
    )


def _know_v1() -> None:
    """Its contract is v1alpha's under another name; `grpcurl describe` fails on a server that does not know it."""
    pool: Any = descriptor_pool.Default()
    try:
        pool.FindServiceByName(REFLECTION_V1)
    except KeyError:
        older = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(older)
        text = text_format.MessageToString(older).replace("v1alpha", "v1")
        pool.Add(text_format.Parse(text, FileDescriptorProto()))
