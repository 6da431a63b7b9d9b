"""What a stock gRPC client is told to use the mesh."""

import subprocess
import sys

from mesh.channel import bootstrap
from mesh.config import child_environment

OPENS_TWO = """
import asyncio, os
from mesh.channel import mesh_channel
from mesh.config import MeshSettings

async def main():
    for name in ("a-1", "a-1", "b-1"):
        async with mesh_channel(MeshSettings(instance=name), "a"):
            print(os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"])

asyncio.run(main())
"""


def test_all_hubs_stand_in_one_uri() -> None:
    """gRPC fails over among the addresses of one URI, not among several servers."""
    made = bootstrap(["127.0.0.1:1", "127.0.0.1:2"], "n-1", "svc", ["database"])
    (server,) = made["xds_servers"]
    assert server["server_uri"] == "ipv4:127.0.0.1:1,127.0.0.1:2"
    assert made["node"] == {"id": "n-1", "cluster": "svc", "metadata": {"dependencies": ["database"]}}


def test_a_process_is_who_it_says_itself_and_only_one() -> None:
    """What a shell set for stock clients is not taken over; a second identity in one process is refused."""
    environment = child_environment({"GRPC_XDS_BOOTSTRAP_CONFIG": "{}"})
    result = subprocess.run(
        [sys.executable, "-c", OPENS_TWO], env=environment, capture_output=True, text=True, check=False
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert '"id": "a-1"' in lines[0]
    assert "it can not be two things" in result.stderr
