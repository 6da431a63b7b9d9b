"""The server of the agent's own services: loopback, a free port, and a token that a file of the state folder tells."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.config import ServerSettings
from mesh.server import MeshServer, Service, open_server
from pc_agent.control.access import TokenAccess
from pc_agent.control.endpoint import Endpoint, new_token, told

_HOST = "127.0.0.1"


@asynccontextmanager
async def open_control(
    instance: str, folder: Path, port: int, services: Sequence[Service]
) -> AsyncIterator[MeshServer]:
    """Serve `services` until the end of the block; `port` 0 takes a free one.

    Raises:
        SettingsError: the port is taken.
    """
    settings = ServerSettings(instance=instance, host=_HOST, port=port)
    token = new_token()
    async with open_server(settings, services, interceptors=[TokenAccess(token)]) as server:
        with told(folder, Endpoint(f"{_HOST}:{server.port}", token, os.getpid())):
            yield server
