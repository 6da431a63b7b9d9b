"""Probes: real engines pass without credentials; what is wrong with the others is said in words, soon."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.postgres import Postgres
from compose.embedded.valkey import Valkey
from hub.domain.health import ProbeKind
from hub.health.probes import kinds
from hub.health.probes.check import Target
from hub.health.probes.kinds import CHECKS, Outcome, ask
from tests.support.kafka import Kafka
from tests.support.misbehaving import Behaviour, closing, endless, saying, silent, tcp_server
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def probe(kind: ProbeKind, port: int, path: str = "", timeout_s: float = 3.0, ip: str = "127.0.0.1") -> Outcome:
    return await ask(kind, Target(ip, port, path), timeout_s)


async def error_of(kind: ProbeKind, behaviour: Behaviour, path: str = "", timeout_s: float = 3.0) -> str:
    async with tcp_server(behaviour) as port:
        return (await probe(kind, port, path, timeout_s)).error


async def test_the_engines_are_ready_though_nobody_tells_a_password(
    postgres_engine: Postgres, clickhouse_engine: ClickHouse, valkey_engine: Valkey, nats_engine: Nats
) -> None:
    """Each by its own kind, and each listens."""
    engines = {
        ProbeKind.POSTGRES: postgres_engine.port,
        ProbeKind.CLICKHOUSE: clickhouse_engine.port,
        ProbeKind.REDIS: valkey_engine.port,
        ProbeKind.NATS: nats_engine.port,
    }
    for kind, port in engines.items():
        for asked in (kind, ProbeKind.TCP):
            outcome = await probe(asked, port)
            assert outcome.passed, (kind, outcome)
    assert (await probe(ProbeKind.HTTP, clickhouse_engine.port, "/ping")).passed


async def test_an_engine_is_not_taken_for_another(nats_engine: Nats) -> None:
    """Whoever answers in another protocol is named by what it said."""
    assert "answered PING with 'INFO" in (await probe(ProbeKind.REDIS, nats_engine.port)).error
    assert "does not speak HTTP" in (await probe(ProbeKind.HTTP, nats_engine.port)).error
    assert "does not speak PostgreSQL" in (await probe(ProbeKind.POSTGRES, nats_engine.port)).error


async def test_kafka_says_which_versions_it_speaks(kafka_engine: Kafka) -> None:
    """ApiVersions, made by hand, is answered by a broker."""
    assert (await probe(ProbeKind.KAFKA, kafka_engine.port)).passed


@pytest.fixture
async def checked() -> AsyncIterator[tuple[health.aio.HealthServicer, int]]:
    server = grpc.aio.server()
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield checks, port
    await server.stop(0)


async def test_grpc_health_is_believed(checked: tuple[health.aio.HealthServicer, int]) -> None:
    """SERVING passes; NOT_SERVING, and a service that nobody knows, do not."""
    checks, port = checked
    await checks.set("", _SERVING)
    await checks.set("suho.test.v1.EchoService", _NOT_SERVING)
    assert await probe(ProbeKind.GRPC, port) == Outcome("", pytest.approx(0, abs=3000))
    refused = await probe(ProbeKind.GRPC, port, "suho.test.v1.EchoService")
    assert refused.error == "its health service says NOT_SERVING"
    assert (await probe(ProbeKind.GRPC, port, "ghost")).error == "its health service does not know 'ghost'"


async def test_a_grpc_server_without_health_service_is_reachable() -> None:
    """UNIMPLEMENTED is an answer; it is noted."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    outcome = await probe(ProbeKind.GRPC, port)
    await server.stop(0)
    assert outcome.passed
    assert outcome.note == "it has no health service, but it answers"


@pytest.mark.parametrize("kind", CHECKS)
async def test_where_nothing_listens_it_is_said(kind: ProbeKind) -> None:
    """One sentence, whatever the kind."""
    port = free_port()
    assert (await probe(kind, port)).error == f"nothing listens at 127.0.0.1:{port}"


@pytest.mark.parametrize("kind", sorted(set(CHECKS) - {ProbeKind.TCP}))
async def test_silence_an_early_end_and_endless_talk_are_failures(
    kind: ProbeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each within its time and within bounds of memory."""
    monkeypatch.setattr(kinds, "_ACCEPT_S", 8)  # whether it accepts at all is asked in a loop that may stand still
    began = time.monotonic()
    said = await error_of(kind, silent, timeout_s=0.2)
    assert said == "it accepted the connection but did not answer within 0.2 s"
    assert time.monotonic() - began < 10
    assert await error_of(kind, closing, timeout_s=0.5)
    assert await error_of(kind, endless, timeout_s=0.5)
    assert await error_of(kind, saying(b"\x16\x03\x01garbage\r\n"), timeout_s=0.5)


async def test_an_early_end_and_endless_talk_are_named() -> None:
    """As people say it."""
    assert await error_of(ProbeKind.REDIS, closing) == "it closed the connection without an answer"
    assert await error_of(ProbeKind.REDIS, endless) == "its answer has no end"


@pytest.mark.parametrize(
    ("kind", "answer", "sentence"),
    [
        (ProbeKind.REDIS, b"+PONG\r\n", ""),
        (ProbeKind.REDIS, b"-NOAUTH Authentication required.\r\n", ""),
        (ProbeKind.REDIS, b"-LOADING Redis is loading the dataset in memory\r\n", "it is starting up: it loads"),
        (ProbeKind.POSTGRES, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", ""),
        (ProbeKind.POSTGRES, b"E\0\0\0\x22SFATAL\0C57P03\0Mis starting up\0\0", "it is not ready: is starting up"),
        (ProbeKind.POSTGRES, b"E\0\0\0\x22SFATAL\0C53300\0Mtoo many, sorry\0\0", ""),
        (ProbeKind.POSTGRES, b"E\0\0\0\0", "it does not speak PostgreSQL's protocol"),
        (ProbeKind.POSTGRES, b"E\x7f\xff\xff\xff", "it does not speak PostgreSQL's protocol"),
        (ProbeKind.NATS, b'INFO {"server_id":"N"}\r\n', ""),
        (ProbeKind.NATS, b'INFO {"server_id":"N","ldm":true}\r\n', "it is shutting down"),
        (ProbeKind.NATS, b"INFO " + b"[" * 50_000 + b"\r\n", "it is no NATS"),
        (ProbeKind.KAFKA, b"\0\0\0\x0a\0\0\x53\x48\0\0\0\0\0\0", ""),
        (ProbeKind.KAFKA, b"\0\0\0\x0a\0\0\x53\x48\0\x2a\0\0\0\0", "it answered ApiVersions with Kafka's error 42"),
        (ProbeKind.KAFKA, b"\0\0\0\x0a\0\0\0\x07\0\0\0\0\0\0", "it does not speak Kafka's protocol"),
        (ProbeKind.KAFKA, b"\x7f\0\0\x0a\0\0\0\x07", "it does not speak Kafka's protocol"),
        (ProbeKind.HTTP, b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (ProbeKind.HTTP, b"HTTP/1.0 302 Found\r\n\r\n", ""),
        (ProbeKind.HTTP, b"HTTP/1.1 401 Unauthorized\r\n\r\n", ""),
        (ProbeKind.HTTP, b"HTTP/1.1 403 Forbidden\r\n\r\n", "it answered GET /up with HTTP status 403"),
        (ProbeKind.HTTP, b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "it answered GET /up with HTTP status 503"),
        (ProbeKind.CLICKHOUSE, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nOk.\n\r\n0\r\n\r\n", ""),
        (ProbeKind.CLICKHOUSE, b"HTTP/1.1 200 OK\r\n\r\nhello", "it answers /ping, but not as ClickHouse does"),
    ],
)
async def test_each_protocols_yes_and_no(kind: ProbeKind, answer: bytes, sentence: str) -> None:
    """Alive, though it may ask who we are; not ready; not what it should be."""
    said = await error_of(kind, saying(answer), "/up")
    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


async def test_a_path_can_not_smuggle_a_request() -> None:
    """Line breaks and spaces in a path are encoded."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    assert await error_of(ProbeKind.HTTP, listen, "/x HTTP/1.1\r\nFLUSHALL\r\n") == ""
    assert heard[0].startswith(b"GET /x%20HTTP/1.1%0D%0AFLUSHALL%0D%0A HTTP/1.1\r\n")


async def test_ipv6_is_asked_too(checked: tuple[health.aio.HealthServicer, int]) -> None:
    """Literal addresses of both families."""
    async with tcp_server(saying(b"+PONG\r\n"), "::1") as port:
        assert (await probe(ProbeKind.REDIS, port, ip="::1")).passed
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(checked[0], server)
    port = server.add_insecure_port("[::1]:0")
    await server.start()
    assert (await probe(ProbeKind.GRPC, port, ip="::1")).passed
    await server.stop(0)
