"""A server's own word on what it serves: gRPC's reflection, read into a pool that knows nothing else.

grpcio-reflection's client is for threads and knows only v1alpha; the messages of v1 are the same on the wire.
"""

from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import StatusCode
from grpc_reflection.v1alpha import reflection_pb2 as pb

from cli.call_failure import CallError, Layer, near

_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

Metadata = tuple[tuple[str, str | bytes], ...]


class Reflection:
    """Asks the server behind `channel`; every question is a call of its own.

    Raises in all methods:
        grpc.aio.AioRpcError: the server was not reached, or refused the question.
        CallError: UNIMPLEMENTED: it serves no reflection, or not what was asked for.
    """

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float, metadata: Metadata = ()) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._metadata = metadata
        self._versions = list(_SERVICES)
        self._files: dict[str, FileDescriptorProto] = {}
        self.pool = descriptor_pool.DescriptorPool()

    async def services(self) -> list[str]:
        """Full names of all that it serves."""
        answer = await self._ask(pb.ServerReflectionRequest(list_services=""))
        return sorted(service.name for service in answer.list_services_response.service)

    async def service(self, name: str) -> Any:
        """The descriptor of one, with everything that its messages are made of."""
        answer = await self._ask(pb.ServerReflectionRequest(file_containing_symbol=name))
        if answer.HasField("error_response"):
            known = await self.services()
            if name in known:
                raise CallError(Layer.UNIMPLEMENTED, f"the server serves {name} and does not tell its contract")
            raise CallError(Layer.UNIMPLEMENTED, f"the server serves no {name}{near(name, known)}")
        await self._take(answer)
        for file in list(self._files):
            self._add(file)
        return self.pool.FindServiceByName(name)

    async def _take(self, answer: pb.ServerReflectionResponse) -> None:
        """Keep the files, and ask for those that they import; some servers send one at a time."""
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(serialized)
            self._files.setdefault(file.name, file)
        while missing := {name for file in self._files.values() for name in file.dependency} - self._files.keys():
            for name in missing:
                await self._fetch(name)

    async def _fetch(self, name: str) -> None:
        answer = await self._ask(pb.ServerReflectionRequest(file_by_filename=name))
        for serialized in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(serialized)
            self._files.setdefault(file.name, file)
        if name not in self._files:  # Google's own are the same everywhere
            try:
                known = descriptor_pool.Default().FindFileByName(name)
            except KeyError:
                raise CallError(Layer.UNIMPLEMENTED, f"the server's reflection lacks {name}, which it needs") from None
            self._files[name] = FileDescriptorProto()
            known.CopyToProto(self._files[name])

    def _add(self, name: str) -> None:
        """Imports first."""
        try:
            self.pool.FindFileByName(name)
        except KeyError:
            for imported in self._files[name].dependency:
                self._add(imported)
            self.pool.Add(self._files[name])

    async def _ask(self, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        while self._versions:
            try:
                return await self._ask_version(self._versions[0], request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not StatusCode.UNIMPLEMENTED:
                    raise
                del self._versions[0]
        raise CallError(
            Layer.UNIMPLEMENTED,
            "the server was reached, and serves no reflection (v1, v1alpha): nobody can tell what it takes",
            "switch reflection on in that server, or call it with its generated stubs",
        )

    async def _ask_version(self, service: str, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        ask = self._channel.unary_stream(  # one question, and a half-closed stream
            f"/{service}/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )
        call = ask(request, timeout=self._timeout_s, metadata=self._metadata)
        answer = await call.read()
        call.cancel()
        if isinstance(answer, pb.ServerReflectionResponse):
            return answer
        raise CallError(Layer.UNIMPLEMENTED, "the server ended its reflection without an answer")
