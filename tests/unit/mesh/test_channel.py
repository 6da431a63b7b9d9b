"""What a stock gRPC client is told to use the mesh."""

from mesh.channel import bootstrap


def test_all_hubs_stand_in_one_uri() -> None:
    """gRPC fails over among the addresses of one URI, not among several servers."""
    made = bootstrap(["127.0.0.1:1", "127.0.0.1:2"], "n-1", "svc", ["database"])
    (server,) = made["xds_servers"]
    assert server["server_uri"] == "ipv4:127.0.0.1:1,127.0.0.1:2"
    assert made["node"] == {"id": "n-1", "cluster": "svc", "metadata": {"dependencies": ["database"]}}
