"""A server with nothing but grpcio, to be killed: answers `Who` of a gRPC service with its name; prints its port."""

import asyncio
import sys

import grpc


async def main(name, grpc_service):
    async def who(request, context):
        return name.encode()

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(grpc_service, {"Who": handler}),))
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    await server.start()
    sys.stdout.flush()
    await server.wait_for_termination()


asyncio.run(main(*sys.argv[1:]))
