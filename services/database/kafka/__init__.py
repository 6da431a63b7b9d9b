"""Kafka or Redpanda, when configured: the tick log and the signals, for whoever reads them there (docs/operations.md).

The modules need the extra `kafka`: import them where Kafka is configured, after `require`.
"""

from importlib.util import find_spec

from mesh.config import SettingsError


def require() -> None:
    """Raises SettingsError where the library for Kafka is not installed."""
    if find_spec("confluent_kafka") is None:
        raise SettingsError("setting 'kafka_bootstrap': the library for Kafka is missing; install suho[kafka]")
