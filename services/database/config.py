"""What the database service can be told."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from mesh.config import ServerSettings
from mesh.market.zone import Zone
from services.database.clickhouse.retention import Retention
from services.database.domain.name_rules import NameRules
from services.database.domain.session import Session


class DatabaseSettings(ServerSettings):
    """Where the engines are, and how much the sink takes at once."""

    port: int = Field(8008, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://suho@127.0.0.1:5432/suho"),
        description="PostgreSQL: postgresql://user:password@host/db.",
    )
    postgres_connections: int = Field(10, ge=2, le=100, description="Connections to PostgreSQL at most.")
    clickhouse_url: str = Field("http://127.0.0.1:8123/suho", description="ClickHouse's HTTP interface and database.")
    clickhouse_user: str = Field("default", description="ClickHouse user.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="ClickHouse password.")
    clickhouse_fsync: bool = Field(
        False, description="Whether an insert counts only when the disk has it: survives the loss of power, slower."
    )
    valkey_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Valkey, DragonflyDB or Redis: redis://:password@host:port/db.",
    )
    nats_url: SecretStr = Field(SecretStr("nats://127.0.0.1:4222"), description="NATS with JetStream.")
    log_max_bytes: int = Field(
        4 << 30, ge=1 << 20, description="How large the tick log may grow; a full log stops the agents, never drops."
    )
    backfill_max_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="How large the log of late ticks may grow; a full one stops audits, imports.",
    )
    log_keep_hours: float = Field(
        24, ge=0, description="How long a stored message stays in the tick log at least, while there is room."
    )
    purge_every_s: float = Field(60, gt=0, description="Seconds between two looks for messages to forget.")
    sink_max_bytes: int = Field(
        6 << 20, ge=2 << 20, le=256 << 20, description="Bytes of log that the sink gathers while an insert runs, about."
    )
    sink_pause_ms: int = Field(
        200,
        ge=0,
        description="From one insert to the next, after a small one: it costs as much as thousands of rows.",
    )
    zones: tuple[str, ...] = Field(
        (),
        description="Each broker's clock, SERVER=rule or PREFIX*=rule: UTC, UTC+3, Europe/Athens, America/New_York+7;"
        " UTC where none is given.",
    )
    sessions: tuple[str, ...] = Field(
        (),
        description="When a symbol trades, SYMBOL=rule or PREFIX*=rule: 'Sun 17:00-Fri 17:00 America/New_York', more"
        " stretches after ';'; always where none is given.",
    )
    spike_threshold: float = Field(
        30, gt=1, description="How many usual changes away from its neighbours a price is marked as a spike."
    )
    stale_after_s: float = Field(
        900, ge=0, description="Silence of one symbol, while others of its server tick, that is alerted on; 0: none is."
    )
    alert_every_s: float = Field(300, ge=0, description="Least time between two alerts of one kind about one symbol.")
    ticks_keep_days: int = Field(0, ge=0, description="Days after which a tick is deleted from ClickHouse; 0: never.")
    ticks_cold_after_days: int = Field(0, ge=0, description="Days after which a tick moves to `cold_volume`; 0: never.")
    cold_volume: str = Field("", pattern=r"^\w*$", description="Volume of ClickHouse's storage policy for old ticks.")

    def retention(self) -> Retention:
        """How long ticks are kept, and where."""
        return Retention(self.ticks_keep_days, self.ticks_cold_after_days, self.cold_volume)

    def zone_rules(self) -> NameRules[Zone]:
        """Each server's clock."""
        return NameRules(self.zones, Zone, Zone("UTC"))

    def session_rules(self) -> NameRules[Session | None]:
        """Each symbol's session; None: always."""
        return NameRules(self.sessions, Session, None)

    @field_validator("zones")
    @classmethod
    def _zones_can_be_read(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        NameRules(zones, Zone, Zone("UTC"))
        return zones

    @field_validator("sessions")
    @classmethod
    def _sessions_can_be_read(cls, sessions: tuple[str, ...]) -> tuple[str, ...]:
        NameRules(sessions, Session, None)
        return sessions

    @model_validator(mode="after")
    def _cold_ticks_have_a_place(self) -> "DatabaseSettings":
        if bool(self.ticks_cold_after_days) != bool(self.cold_volume):
            raise ValueError("give ticks_cold_after_days and cold_volume together, or neither")
        return self

    preferences_session_s: int = Field(
        1800, ge=10, description="How long a person's preferences stay in the cache after they were last asked for."
    )
    kafka_bootstrap: str = Field(
        "",
        description="Kafka or Redpanda, which gets ticks and signals too: host:port,host:port; empty: none.",
    )
    kafka_replication: int = Field(
        0, ge=0, le=9, description="Copies of what topics hold that are made here; 0: three, or one a broker."
    )
    kafka_compression: Literal["zstd", "lz4", "none"] = Field("zstd", description="How records for Kafka are packed.")

    @field_validator("kafka_bootstrap")
    @classmethod
    def _names_brokers(cls, brokers: str) -> str:
        parts = [broker.strip().rpartition(":") for broker in brokers.split(",")] if brokers else []
        if not all(host and port.isdecimal() for host, _, port in parts):
            raise ValueError("write host:port,host:port, or nothing")
        return ",".join("".join(part) for part in parts)

    @field_validator("clickhouse_url")
    @classmethod
    def _names_a_database(cls, url: str) -> str:
        scheme, _, rest = url.partition("://")
        if scheme not in ("http", "https") or "/" not in rest.rstrip("/"):
            raise ValueError("write http://host:port/database")
        if "@" in rest:
            raise ValueError("give user and password as clickhouse_user and clickhouse_password")
        return url.rstrip("/")
