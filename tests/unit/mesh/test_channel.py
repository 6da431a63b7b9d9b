"""What a stock gRPC client is told to use the mesh."""

import subprocess
import sys

from mesh.channel import bootstrap, in_own_order
from mesh.environment import child_environment

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
    """gRPC fails over among the addresses of one URI, not among several servers; their order is the process's own."""
    hubs = [f"127.0.0.1:{port}" for port in range(1, 21)]
    made = bootstrap(hubs, "n-1", "svc", ["database"])
    (server,) = made["xds_servers"]
    named = server["server_uri"].removeprefix("ipv4:").split(",")
    assert named != hubs  # but for one chance in 20!
    assert sorted(named) == sorted(hubs)
    assert tuple(named) == in_own_order(tuple(hubs))
    assert made["node"] == {"id": "n-1", "cluster": "svc", "metadata": {"dependencies": ["database"]}}


def test_clients_that_take_one_address_in_a_uri_are_given_an_entry_for_each_hub() -> None:
    """gRPC for Go knows no `ipv4:` URIs."""
    made = bootstrap(["127.0.0.1:1", "127.0.0.1:2"], "n-1", "svc", separate=True)
    assert {server["server_uri"] for server in made["xds_servers"]} == {"127.0.0.1:1", "127.0.0.1:2"}


def test_a_client_says_its_zone_where_it_has_one() -> None:
    """As the locality of its node."""
    assert bootstrap(["127.0.0.1:1"], "n-1", "svc", zone="a")["node"]["locality"] == {"zone": "a"}


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
