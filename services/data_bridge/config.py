"""What the data bridge can be told."""

from datetime import time
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from mesh.config import ServerSettings


class BridgeSettings(ServerSettings):
    """Where the bus is, and how much may be under way."""

    port: int = Field(8001, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    nats_url: SecretStr = Field(SecretStr("nats://127.0.0.1:4222"), description="NATS with JetStream.")
    message_ticks: int = Field(2_000, ge=1, le=20_000, description="Ticks that a message of a lane holds at most.")
    lane_messages: int = Field(8, ge=1, le=1_000, description="Messages of a lane that are unacknowledged at most.")
    joined_ticks: int = Field(
        10_000, ge=1, le=1_000_000, description="Ticks of waiting batches that are published as one message at most."
    )
    publish_timeout_ms: int = Field(2_000, ge=50, description="How long the log may take to confirm a message.")
    source_ttl_s: int = Field(
        3, ge=1, le=60, description="How long a bridge that says nothing is taken to be alive; others wait so long."
    )
    source_grace_ms: int = Field(
        1_000, ge=0, description="How long a symbol waits for its agent, whose lane broke, before another streams it."
    )
    idle_symbol_s: float = Field(
        300, gt=0, description="How long a symbol that nobody has open stays in memory, at least."
    )
    newest_interval_ms: int = Field(50, ge=1, description="Least time between two updates of the cache.")
    subscriber_bytes: int = Field(
        32 << 20, ge=1 << 16, description="What may wait for a subscriber before it is served from the log."
    )
    history_timeout_ms: int = Field(
        30_000, ge=100, description="How long an agent that is asked about its terminal's history may say nothing."
    )
    audit_at: Annotated[time | None, BeforeValidator(lambda value: value or None)] = Field(
        time(0, 30), description="UTC, as 00:30: when the day before is audited and healed each night; empty: never."
    )
    bars_interval_ms: int = Field(100, ge=1, description="Least time between two states of a growing bar.")
