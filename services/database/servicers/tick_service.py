"""TickService with handlers of our own: columns go out as bytes, reflection shows the typed contract."""

from collections.abc import Mapping
from typing import Any

import grpc

from mesh.server import Service

NAME = "suho.database.v1.TickService"

Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]


def tick_service(*parts: Handlers) -> Service:
    """The service whose methods are spread over `parts`."""
    handlers = {name: handler for part in parts for name, handler in part.items()}
    generic = grpc.method_handlers_generic_handler(NAME, handlers)
    return Service(NAME, lambda server: server.add_generic_rpc_handlers((generic,)))


def unary(method: Any, request: Any, response: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler of messages of these types."""
    return grpc.unary_unary_rpc_method_handler(method, request.FromString, response.SerializeToString)


def streaming(method: Any, request: Any, response: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    """A handler that answers one message with many."""
    return grpc.unary_stream_rpc_method_handler(method, request.FromString, response.SerializeToString)
