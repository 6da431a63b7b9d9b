"""The hub's settings."""

from pydantic import Field, SecretStr, field_validator

from hub.domain.infrastructure import infrastructure_of
from mesh.config import ServerSettings


class HubSettings(ServerSettings):
    """What the hub can be told."""

    port: int = Field(7000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    nats_url: SecretStr = Field(
        SecretStr(""), description="NATS with JetStream, through which hubs share the registry; empty: this hub alone."
    )
    nats_replicas: int = Field(
        0, ge=0, le=5, description="Copies of the registry in NATS; 0: three where there are three servers, else one."
    )
    presence_s: float = Field(1.0, gt=0, description="How often a hub tells the others that it is there, seconds.")
    detached_s: float = Field(
        5.0, gt=0, description="How long NATS may not answer before this hub writes and expires nothing, seconds."
    )
    gone_s: float = Field(
        10.0, gt=0, description="How long another hub may be silent before its leases are looked after, seconds."
    )
    heartbeat_s: float = Field(5.0, gt=0, description="How often an instance gives a sign of life, seconds.")
    lease_ttl_s: float = Field(15.0, gt=0, description="After how many silent seconds a lease runs out.")
    grace_s: float = Field(3.0, ge=0, description="How long a broken session may stay away, seconds.")
    sweep_interval_s: float = Field(1.0, gt=0, description="How often leases are looked through, seconds.")
    remember_expired_s: float = Field(300.0, ge=0, description="How long expired instances are still listed, seconds.")
    protect_from_instances: int = Field(10, ge=1, description="Self-preservation: from how many instances.")
    protect_from_expiries: int = Field(3, ge=1, description="Self-preservation: from how many falling silent at once.")
    protect_max_share: float = Field(0.15, gt=0, le=1, description="Self-preservation: share that a sweep may expire.")
    debounce_s: float = Field(0.02, ge=0, le=0.1, description="How long additions gather before clients hear, seconds.")
    hold_s: float = Field(
        15.0, ge=0, description="How long a returning client's older knowledge stands unconfirmed, seconds."
    )
    progress_s: float = Field(
        10.0, gt=0, description="How long a quiet watch that asked for progress hears nothing, seconds."
    )
    max_instances: int = Field(20_000, ge=1, description="How many instances may be registered, at all hubs together.")
    history: int = Field(8_192, ge=1, description="How many changes are held for watchers that fall behind.")
    resolve_timeout_s: float = Field(2.0, gt=0, description="How long a host name may take to resolve, seconds.")
    resolve_interval_s: float = Field(30.0, gt=0, description="How often host names are looked up again, seconds.")
    probe_interval_s: float = Field(
        30.0, ge=0, description="How often this hub probes the instances that it looks after, seconds; 0: never."
    )
    probe_retry_s: float = Field(2.0, gt=0, description="How soon it probes again while in doubt, seconds.")
    probe_timeout_s: float = Field(3.0, gt=0, description="How long a probe waits for an answer, seconds.")
    probe_failures: int = Field(3, ge=1, description="How many failed probes in a row take an instance out.")
    probe_successes: int = Field(2, ge=1, description="How many good ones in a row bring it back.")
    probe_concurrency: int = Field(256, ge=1, description="How many instances are probed at once.")
    flap_half_life_s: float = Field(
        120.0, gt=0, description="How soon half of a fall is forgotten of who comes and goes too often, seconds."
    )
    health_span_s: float = Field(600.0, gt=0, description="How long probes gather in the health history, seconds.")
    infrastructure: tuple[str, ...] = Field(
        (),
        description="What does not register itself, as ID=KIND://host:port[/path]; kinds: "
        "postgres, clickhouse, redis, valkey, dragonfly, nats, kafka, http, tcp, grpc.",
    )

    @field_validator("infrastructure")
    @classmethod
    def _described(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        ids = [infrastructure_of(entry).id for entry in entries]
        for instance_id in ids:
            if ids.count(instance_id) > 1:
                raise ValueError(f"{instance_id} is named twice")
        return entries
