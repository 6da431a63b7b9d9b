"""What the setting `infrastructure` may say."""

import pytest

from hub.config import HubSettings
from hub.domain.health import Probe, ProbeKind
from hub.domain.infrastructure import InfrastructureError, infrastructure_of
from hub.domain.status import Status
from mesh.config import SettingsError, load_settings


def test_an_engine_is_an_instance_of_its_kind() -> None:
    """With one address and one probe, both named after the kind, and STARTING until it was seen."""
    engine = infrastructure_of("postgres-1=postgres://db.suho.internal:5432")
    assert (engine.id, engine.service, engine.status) == ("postgres-1", "postgres", Status.STARTING)
    assert engine.metadata["infrastructure"] == "true"
    address = engine.address("postgres")
    assert address is not None
    assert (address.host, address.port) == ("db.suho.internal", 5432)
    assert engine.probe == Probe(ProbeKind.POSTGRES, "postgres")


@pytest.mark.parametrize(
    ("entry", "service", "probe"),
    [
        ("weaviate-1=http://127.0.0.1:8080/v1/.well-known/ready", "weaviate", "/v1/.well-known/ready"),
        ("arangodb=http://[::1]:8529/_api/version?details=true", "arangodb", "/_api/version?details=true"),
        ("gateway-2=tcp://127.0.0.1:8000", "gateway", ""),
        ("other-12=grpc://127.0.0.1:9000/suho.test.v1.EchoService", "other", "suho.test.v1.EchoService"),
        ("cache=redis://127.0.0.1:6379/", "redis", ""),
        ("valkey-1=valkey://127.0.0.1:6379", "valkey", ""),
        ("clickhouse-1=clickhouse://127.0.0.1:8123", "clickhouse", ""),
        ("nats-3=nats://127.0.0.1:4222", "nats", ""),
        ("kafka-1=kafka://127.0.0.1:9092", "kafka", ""),
    ],
)
def test_each_kind_has_its_service_and_its_question(entry: str, service: str, probe: str) -> None:
    """Where the kind says little, the id names the service."""
    engine = infrastructure_of(entry)
    assert engine.service == service
    assert engine.probe is not None
    assert engine.probe.path == probe


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("postgres://127.0.0.1:5432", "names no instance"),
        ("=postgres://127.0.0.1:5432", "names no instance"),
        ("pg=mysql://127.0.0.1:3306", "'mysql' is no kind of probe; take one of clickhouse, dragonfly"),
        ("pg=postgres://127.0.0.1", "lacks kind, host or port"),
        ("pg=127.0.0.1:5432", "lacks kind, host or port"),
        ("pg=postgres://127.0.0.1:x", "malformed"),
        ("pg=postgres://127.0.0.1:5432/suho", "asks for no path"),
        ("p g=postgres://127.0.0.1:5432", "instance id"),
        ("pg=postgres://no_such host:5432", "neither an IP literal nor a host name"),
    ],
)
def test_a_wrong_entry_is_refused_in_words(entry: str, says: str) -> None:
    """The sentence tells which entry, and what to write."""
    with pytest.raises(InfrastructureError, match=says):
        infrastructure_of(entry)


def test_credentials_are_refused_and_not_repeated() -> None:
    """They have no place there."""
    with pytest.raises(InfrastructureError, match="credentials") as refused:
        infrastructure_of("pg=postgres://suho:hunter2@127.0.0.1:5432")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(InfrastructureError) as refused:
        infrastructure_of("pg=postgres://suho:hunter2@127.0.0.1:x")
    assert "hunter2" not in str(refused.value)


def test_the_setting_is_checked_when_the_hub_starts() -> None:
    """Each entry, and that no id stands twice; the hub names setting, source and what is wrong."""
    good = ["pg=postgres://127.0.0.1:5432", "cache=redis://127.0.0.1:6379"]
    assert load_settings(HubSettings, "hub", ["--infrastructure", *good]).infrastructure == tuple(good)
    for wrong, says in ((["pg=mysql://127.0.0.1:1"], "'mysql' is no kind"), (good + good, "pg is named twice")):
        with pytest.raises(SettingsError, match=says) as refused:
            load_settings(HubSettings, "hub", ["--infrastructure", *wrong])
        assert "setting 'infrastructure' of hub (command line)" in str(refused.value)
