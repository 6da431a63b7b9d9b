"""Two plain gRPC servers in a process that ends when its standard input does: each answers every call with its port."""

import asyncio
import sys

import grpc

METHOD = "Who"


async def main(name: str) -> None:
    """Serve `name`/Who; say both ports."""
    servers = []
    for _ in range(2):
        server = grpc.aio.server()
        port = str(server.add_insecure_port("127.0.0.1:0"))

        async def who(_request: bytes, _context: object, port: str = port) -> bytes:
            return port.encode()

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(who)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {METHOD: handler}),))
        await server.start()
        servers.append(server)
        print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
