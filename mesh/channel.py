"""The only place where channels are opened.

A service has one channel, `xds:///mesh`, whatever it calls: the hub routes by gRPC service name and gRPC's own core
balances, retries and drains. The agent has five, a connection each. See design section 4.
"""

import json
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Literal

import grpc

from mesh.config import MeshSettings
from mesh.environment import export
from mesh.keepalive import KEEPALIVE

_BOOTSTRAP = "GRPC_XDS_BOOTSTRAP_CONFIG"
# Lets gRPC take a hub's word that there is no such service; otherwise a call to it waits 15 s.
_HEED_HUBS_ERRORS = "GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING"
_exported = ""

_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)

LaneTarget = Literal["agent-signals", "agent-ticks", "agent-records"]


@cache
def in_own_order(hubs: tuple[str, ...]) -> tuple[str, ...]:
    """The hubs in the order in which this process tries them: another in each, so that they share the load."""
    return tuple(random.sample(hubs, len(hubs)))


def bootstrap(
    hubs: Iterable[str],
    node_id: str,
    service: str,
    dependencies: Iterable[str] = (),
    zone: str = "",
    *,
    separate: bool = False,
) -> dict[str, Any]:
    """gRPC's xDS bootstrap: what a stock client needs to use `xds:///mesh`.

    `dependencies` names the services whose endpoints the client wants; none means all. Endpoints of `zone` are
    preferred. `separate` gives each hub an entry of its own, for clients, like Go's, that take one address in a URI;
    gRPC's core fails over live only within one URI (measured).
    """
    node: dict[str, Any] = {"id": node_id, "cluster": service, "metadata": {"dependencies": list(dependencies)}}
    own = in_own_order(tuple(hubs))
    return {
        "xds_servers": [
            {"server_uri": uri, "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}
            for uri in (own if separate else (f"ipv4:{','.join(own)}",))
        ],
        "node": node | ({"locality": {"zone": zone}} if zone else {}),
    }


def _export_bootstrap(settings: MeshSettings, service: str, dependencies: Iterable[str]) -> None:
    global _exported
    text = json.dumps(bootstrap(settings.hubs, settings.instance, service, dependencies, settings.zone))
    if _exported not in ("", text):
        raise RuntimeError("gRPC reads its xDS bootstrap once a process: it can not be two things")
    # Over one that a shell set for stock clients: this process says itself who it is.
    _exported = text
    export(_BOOTSTRAP, text)
    export(_HEED_HUBS_ERRORS, "true")


@asynccontextmanager
async def mesh_channel(
    settings: MeshSettings, service: str, dependencies: Iterable[str] = ()
) -> AsyncIterator[grpc.aio.Channel]:
    """The one channel to every service of the mesh."""
    _export_bootstrap(settings, service, dependencies)
    async with grpc.aio.insecure_channel("xds:///mesh", options=(*KEEPALIVE, *_RECONNECT)) as channel:
        yield channel


@asynccontextmanager
async def lane_channel(settings: MeshSettings, service: str, target: LaneTarget) -> AsyncIterator[grpc.aio.Channel]:
    """One of the agent's channels: a TCP connection of its own."""
    _export_bootstrap(settings, service, ())
    options = (_OWN_CONNECTION, *KEEPALIVE, *_RECONNECT)
    async with grpc.aio.insecure_channel(f"xds:///{target}", options=options) as channel:
        yield channel


@asynccontextmanager
async def direct_channel(addresses: Sequence[str], *, own: bool = False) -> AsyncIterator[grpc.aio.Channel]:
    """To one of `addresses` (IP:port, all IPv4 or all IPv6), whichever answers; for hubs, and where no hub is.

    `own`: over a connection that no other channel of the process uses.
    """
    target = f"{'ipv6' if addresses[0].startswith('[') else 'ipv4'}:{','.join(addresses)}"
    options = (*((_OWN_CONNECTION,) if own else ()), *KEEPALIVE, *_RECONNECT)
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield channel


@asynccontextmanager
async def named_channel(
    address: str, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """To one server wherever it is, by name or IP (host:port); TLS where credentials are given."""
    target, options = f"dns:///{address}", (("grpc.enable_http_proxy", 0), *KEEPALIVE, *_RECONNECT)
    opened = (
        grpc.aio.insecure_channel(target, options=options)
        if credentials is None
        else grpc.aio.secure_channel(target, credentials, options=options)
    )
    async with opened as channel:
        yield channel
