"""What Kafka is told without being there."""

import pytest
from pydantic import ValidationError

from mesh.config import SettingsError
from services.database import kafka
from services.database.config import DatabaseSettings
from services.database.kafka.topics import partition_of


def settings(brokers: str) -> DatabaseSettings:
    return DatabaseSettings(instance="database-1", kafka_bootstrap=brokers)


def test_without_the_library_only_who_configures_kafka_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the setting and what to install."""
    monkeypatch.setattr(kafka, "find_spec", lambda name: None)
    kafka.require(settings(""))
    with pytest.raises(SettingsError, match=r"'kafka_bootstrap'.*suho\[kafka\]"):
        kafka.require(settings("127.0.0.1:9092"))


def test_brokers_have_ports() -> None:
    """Spaces do not matter; a host alone is refused."""
    assert settings("a:1, b:2").kafka_bootstrap == "a:1,b:2"
    with pytest.raises(ValidationError, match="write host:port,host:port"):
        settings("a")


def test_a_symbol_keeps_its_partition_for_ever() -> None:
    """Other programs compute it too: CRC-32 of server/symbol, known values."""
    assert [partition_of(f"twin-1/{symbol}", 12) for symbol in ("EURUSD", "XAU/USD #1", "Ä")] == [3, 0, 10]
