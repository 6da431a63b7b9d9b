"""A gRPC server with one method, in a receiver's process."""

from typing import Any

import grpc


async def serve(pipe: Any, service: str, method: str, handler: Any) -> None:
    """Tell the address, and serve until the process is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pipe.send(f"127.0.0.1:{port}")
    await server.wait_for_termination()
