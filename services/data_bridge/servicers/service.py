"""BridgeService with handlers of our own: columns come and go as bytes, reflection shows the typed contract."""

from collections.abc import Mapping
from typing import Any

import grpc

from mesh.server import Service

NAME = "suho.market.v1.BridgeService"

Handlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]


def bridge_service(*parts: Handlers) -> Service:
    """The service whose methods are spread over `parts`."""
    handlers = {name: handler for part in parts for name, handler in part.items()}
    generic = grpc.method_handlers_generic_handler(NAME, handlers)
    return Service(NAME, lambda server: server.add_generic_rpc_handlers((generic,)))
