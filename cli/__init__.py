"""The `suho` command: starts things, asks them things; thin."""

from mesh.environment import quiet_grpc

# gRPC's core reads its verbosity when it is imported, which the commands' modules do.
quiet_grpc()
