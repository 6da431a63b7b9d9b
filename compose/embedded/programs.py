"""Our own programs: the settings each is started with. The one place to look when a program's settings change."""

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.ports import hub_addresses, kind_of
from compose.embedded.postgres import Postgres
from compose.embedded.private import write_private
from compose.embedded.program import Probe, Program
from compose.embedded.state import State
from compose.embedded.valkey import Valkey
from mesh.environment import environment

PACKAGES = {
    "hub": "hub",
    "database": "services.database",
    "data-bridge": "services.data_bridge",
    "trading-engine": "services.trading_engine",
    "twin": "pc_agent.twin",
    "pc-agent": "pc_agent",
}
# The twin is a terminal: it knows nothing of the mesh.
_OUTSIDE_THE_MESH = "twin"

# What makes work ends before what takes it. Each stands for all of its kind.
STOP_ORDER = (
    ("trading-engine",),
    ("pc-agent",),
    ("data-bridge",),
    ("database",),
    ("hub",),
    ("twin",),
    ("postgres", "clickhouse", "valkey", "nats"),
)

DEMO_LOGIN = 1_000_001

Plain = str | int | float | tuple[str, ...]
# Tables: their own settings by name.
Value = Plain | tuple[dict[str, Plain], ...]


@dataclass(frozen=True)
class Engines:
    """The four engines and where they are."""

    postgres: Postgres
    clickhouse: ClickHouse
    valkey: Valkey
    nats: Nats

    @classmethod
    def of(cls, state: State, ports: Mapping[str, int], survives_power_loss: bool) -> "Engines":
        """The engines whose data are in `state`."""
        return cls(
            Postgres(state.folder / "postgres", ports["postgres"], state.password("postgres")),
            ClickHouse(state.folder / "clickhouse", ports["clickhouse"], state.password("clickhouse")),
            Valkey(state.folder / "valkey", ports["valkey"], state.password("valkey")),
            Nats(state.folder / "nats", ports["nats"], state.password("nats"), survives_power_loss),
        )

    @property
    def infrastructure(self) -> tuple[str, ...]:
        """Where hubs can ask each engine whether it works; without credentials."""
        return (
            f"postgres-1=postgres://127.0.0.1:{self.postgres.port}",
            f"clickhouse-1=clickhouse://127.0.0.1:{self.clickhouse.port}",
            f"valkey-1=valkey://127.0.0.1:{self.valkey.port}",
            f"nats-1=nats://127.0.0.1:{self.nats.port}",
        )

    def programs(self) -> list[Program]:
        return [self.postgres.program(), self.clickhouse.program(), self.valkey.program(), self.nats.program()]


@dataclass(frozen=True)
class Terminal:
    """The twin terminal: its one server name, its market."""

    server: str
    # As pc_agent.twin.feeds.plan_feeds spells them.
    feeds: tuple[str, ...]
    speed: str
    seed: int

    def folder(self, state: State) -> Path:
        return state.folder / "twin" / self.server


def settings_of(
    state: State, ports: Mapping[str, int], engines: Engines, terminal: Terminal, strategy: str
) -> dict[str, dict[str, Value]]:
    """Settings by program, under the names in their config.py."""
    twin_folder = str(terminal.folder(state))
    twin: dict[str, Plain] = {
        "module": "pc_agent.twin.client",
        "path": twin_folder,
        "login": DEMO_LOGIN,
        "server": terminal.server,
        "password_file": str(state.config / "twin.password"),
    }
    hub: dict[str, Value] = {"nats_url": engines.nats.url, "infrastructure": engines.infrastructure}
    own: dict[str, dict[str, Value]] = {
        **{name: dict(hub) for name in ports if kind_of(name) == "hub"},
        "database": {
            "postgres_dsn": engines.postgres.dsn,
            "clickhouse_url": f"{engines.clickhouse.url}/suho",
            "clickhouse_user": engines.clickhouse.user,
            "clickhouse_password": engines.clickhouse.password,
            "valkey_url": engines.valkey.url,
            "nats_url": engines.nats.url,
            "clickhouse_fsync": engines.nats.survives_power_loss,
        },
        "data-bridge": {"nats_url": engines.nats.url},
        "trading-engine": {"nats_url": engines.nats.url},
        "twin": {
            "folder": twin_folder,
            "feeds": terminal.feeds,
            "speed": terminal.speed,
            "seed": terminal.seed,
            "login": DEMO_LOGIN,
            "password": state.password("twin"),
        },
        "pc-agent": {
            "history_start": "first",
            "terminals": (twin,),
            # A replay that has ended stands still, and can be traded on.
            "max_quote_age_ms": 0,
        },
    }
    if strategy:
        own["trading-engine"] |= {"strategy": strategy, "strategy_account": f"{DEMO_LOGIN}@{terminal.server}"}
    for name, settings in own.items():
        settings |= {
            "instance": instance_id(name),
            "log_format": "console",
            "state_dir": str(state.folder / ("agent" if name == "pc-agent" else name)),
        }
        if name != _OUTSIDE_THE_MESH:
            settings["hubs"] = hub_addresses(ports)
        if name in ports:
            settings["port"] = ports[name]
    return own


def instance_id(name: str) -> str:
    """What the program is called in the mesh."""
    return name if name != kind_of(name) else f"{name}-1"


def write_settings(state: State, settings: Mapping[str, Mapping[str, Value]]) -> None:
    """`config/NAME.toml` for each program; only the owner may read them."""
    state.config.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(state.config / "twin.password", state.password("twin"))
    for name, values in settings.items():
        write_private(_config_file(state, name), toml_of(values))


def toml_of(settings: Mapping[str, Value]) -> str:
    """As a program reads them: tables behind everything else."""
    plain, tables = [], []
    for key, value in settings.items():
        if isinstance(value, tuple) and any(isinstance(item, dict) for item in value):
            for table in value:
                assert isinstance(table, dict)
                tables += ["", f"[[{key}]]", *(_line(name, item) for name, item in table.items())]
        else:
            plain.append(_line(key, value))
    return "\n".join([*plain, *tables]) + "\n"


def _line(key: str, value: Value) -> str:
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def mesh_programs(state: State, ready: Mapping[str, Probe]) -> list[Program]:
    """The programs, to be started with their written settings."""
    return [
        Program(
            name,
            (sys.executable, "-P", "-m", PACKAGES[kind_of(name)], "--config", str(_config_file(state, name))),
            is_ready,
            # Nothing to tidy without the rest; and what a kill leaves is what they are built to survive.
            death_signal=signal.SIGKILL,
            # Read when gRPC is imported, too early for a program to say it itself.
            environment={"GRPC_VERBOSITY": environment("GRPC_VERBOSITY") or "ERROR"},
        )
        for name, is_ready in ready.items()
    ]


def _config_file(state: State, name: str) -> Path:
    return state.config / f"{name}.toml"
