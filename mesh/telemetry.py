"""Metrics, in one place: instruments are declared here and read through OpenTelemetry."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation

# Seconds; from a cache hit to a call that ran into its deadline.
_DURATION_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def configure_telemetry(program: str, instance: str, metrics_port: int) -> None:
    """Serve Prometheus on loopback when `metrics_port` is not 0; else instruments cost next to nothing. Call once."""
    if not metrics_port:
        return
    # Here, because it costs every start 0.2 s that few ask for.
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from prometheus_client import start_http_server

    reader = PrometheusMetricReader()
    start_http_server(metrics_port, addr="127.0.0.1")
    resource = Resource.create(
        {"service.name": program, "service.instance.id": instance, "service.version": version("suho")}
    )
    metrics.set_meter_provider(MeterProvider([reader], resource=resource))
    _observe_process()


def meter() -> metrics.Meter:
    return metrics.get_meter("suho")


@cache
def rpc_duration() -> Histogram:
    return meter().create_histogram(
        "rpc.server.call.duration",
        unit="s",
        description="Calls served, by method and status",
        explicit_bucket_boundaries_advisory=_DURATION_BOUNDS,
    )


@cache
def unreadable_messages() -> Counter:
    return meter().create_counter(
        "suho.bridge.feed.unreadable", unit="{message}", description="Messages on tick subjects that no bridge wrote"
    )


def gauge(name: str, description: str, read: Callable[[], Iterable[tuple[float, Mapping[str, str]]]]) -> None:
    """Observe what `read` gives, values with their attributes, whenever somebody looks."""
    meter().create_observable_gauge(
        name, [lambda _: [Observation(value, attributes) for value, attributes in read()]], description=description
    )


def _observe_process() -> None:
    import psutil

    process = psutil.Process()

    def gauge(read: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [Observation(read())]

    def cpu_seconds() -> float:
        times: Any = process.cpu_times()
        return float(times.user + times.system)

    meter().create_observable_gauge(
        "process.memory.usage", [gauge(lambda: process.memory_info().rss)], unit="By", description="Resident memory"
    )
    meter().create_observable_counter("process.cpu.time", [gauge(cpu_seconds)], unit="s", description="CPU time used")
