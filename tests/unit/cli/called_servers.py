"""Servers that `suho call` meets: one that works, and those that fail in a layer each."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection, reflection_pb2

from mesh.errors import MeshError, Reason

ECHO = "suho.test.v1.EchoService"
V1ALPHA = reflection.SERVICE_NAME

_WORDS = """
name: "suho/test/v1/word.proto" package: "suho.test.v1" syntax: "proto3"
enum_type { name: "Mood" value { name: "MOOD_UNSPECIFIED" number: 0 } value { name: "MOOD_GLAD" number: 1 } }
message_type {
  name: "Word"
  field { name: "text" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "times" number: 2 type: TYPE_UINT64 label: LABEL_OPTIONAL }
  field { name: "mood" number: 3 type: TYPE_ENUM type_name: ".suho.test.v1.Mood" label: LABEL_OPTIONAL }
  field { name: "inner" number: 4 type: TYPE_MESSAGE type_name: ".suho.test.v1.Word" label: LABEL_OPTIONAL }
  field { name: "blob" number: 5 type: TYPE_BYTES label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "number" number: 6 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "tags" number: 7 type: TYPE_MESSAGE type_name: ".suho.test.v1.Word.TagsEntry" label: LABEL_REPEATED }
  oneof_decl { name: "more" }
  nested_type {
    name: "TagsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_ENUM type_name: ".suho.test.v1.Mood" label: LABEL_OPTIONAL }
  }
}
"""
_METHODS = {"Say": "", "Refuse": "", "Forget": "", "Forbid": "", "Hang": "",
            "Repeat": "server_streaming: true", "Join": "client_streaming: true",
            "Talk": "client_streaming: true server_streaming: true"}  # fmt: skip
_SERVICE = """
name: "suho/test/v1/echo.proto" package: "suho.test.v1" syntax: "proto3" dependency: "suho/test/v1/word.proto"
service {{ name: "EchoService" {} }}
""".format(
    "".join(
        f'method {{ name: "{name}" input_type: ".suho.test.v1.Word" output_type: ".suho.test.v1.Word" {kind} }}'
        for name, kind in _METHODS.items()
    )
)


def contract() -> descriptor_pool.DescriptorPool:
    """EchoService, which no generated code knows."""
    pool = descriptor_pool.DescriptorPool()
    for text in (_WORDS, _SERVICE):
        pool.Add(text_format.Parse(text, FileDescriptorProto()))
    return pool


class Echo:
    """EchoService's methods; they keep what they were told."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self.word: Any = GetMessageClass(pool.FindMessageTypeByName("suho.test.v1.Word"))
        self.headers: list[tuple[str, Any]] = []

    def handlers(self) -> dict[str, Any]:
        unary = {name: getattr(self, name.lower()) for name in ("Say", "Refuse", "Forget", "Forbid", "Hang")}
        coded = {"request_deserializer": self.word.FromString, "response_serializer": self.word.SerializeToString}
        return {
            **{name: grpc.unary_unary_rpc_method_handler(method, **coded) for name, method in unary.items()},
            "Repeat": grpc.unary_stream_rpc_method_handler(self.repeat, **coded),
            "Join": grpc.stream_unary_rpc_method_handler(self.join, **coded),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk, **coded),
        }

    def say(self, request: Any, context: Any) -> Any:
        self.headers = [(item.key, item.value) for item in context.invocation_metadata()]
        return request

    def repeat(self, request: Any, context: Any) -> Iterator[Any]:
        for number in range(request.times or 1_000_000_000):
            yield self.word(text=request.text, times=number)

    def join(self, requests: Iterable[Any], context: Any) -> Any:
        return self.word(text=" ".join(request.text for request in requests))

    def talk(self, requests: Iterable[Any], context: Any) -> Iterator[Any]:
        for request in requests:
            yield self.word(text=request.text.upper())

    def refuse(self, request: Any, context: Any) -> Any:
        refusal = MeshError(Reason.ENGINE_UNAVAILABLE, "the engine is away; start it", engine="valkey")
        details = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
        context.set_trailing_metadata(details)
        context.abort(refusal.code, refusal.message)

    def forget(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this version")

    def forbid(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "halting needs the right 'trade'")

    def hang(self, request: Any, context: Any) -> Any:
        threading.Event().wait(min(context.time_remaining() + 0.1, 5))
        return request


class OneFileAtATime(reflection.ReflectionServicer):
    """As some servers do: the imports of a file are to be asked for."""

    def ServerReflectionInfo(self, requests: Any, context: Any) -> Iterator[Any]:
        for answer in super().ServerReflectionInfo(requests, context):
            files = answer.file_descriptor_response.file_descriptor_proto
            own = [file for file in files if FileDescriptorProto.FromString(file).name.endswith("echo.proto")]
            if own:
                del files[:]
                files.extend(own)
            yield answer


@contextmanager
def echo_server(
    *reflections: str, servicer: Any = reflection.ReflectionServicer, credentials: Any = None
) -> Iterator[tuple[str, Echo]]:
    """EchoService at an address, with reflection under these names."""
    pool = contract()
    echo = Echo(pool)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO, echo.handlers()),))
    tell = grpc.stream_stream_rpc_method_handler(
        servicer([ECHO, *reflections], pool=pool).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": tell}) for name in reflections)
    )
    where = "127.0.0.1:0"
    port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    server.start()
    try:
        yield f"127.0.0.1:{port}", echo
    finally:
        server.stop(None).wait()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Key and certificate of 127.0.0.1 (files), made by OpenSSL."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-nodes",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-days",
                "2",
            ),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@contextmanager
def raw_server(behave: Callable[[socket.socket], object]) -> Iterator[str]:
    """An address where every connection is handed to `behave` and then closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection:
                behave(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
