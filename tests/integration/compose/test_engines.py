"""The engines from wheels, one by one."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import clickhouse_connect
import nats as nats_client
import pytest
import redis.asyncio as redis

from compose.embedded.alone import running
from compose.embedded.clickhouse import ClickHouse
from compose.embedded.nats import Nats
from compose.embedded.ports import free_ports
from compose.embedded.postgres import Identity, Postgres, _identity
from compose.embedded.process import Unwatched
from compose.embedded.program import CannotStartError
from compose.embedded.supervisor import Patience, Supervisor
from compose.embedded.valkey import Valkey
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


async def test_postgres_answers(postgres_engine: Postgres) -> None:
    """A client with the DSN reaches PostgreSQL 18 with UTF-8 and checksums."""
    connection = await asyncpg.connect(postgres_engine.dsn)
    try:
        assert (await connection.fetchval("SHOW server_version")).startswith("18.")
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW data_checksums") == "on"
    finally:
        await connection.close()


async def test_postgres_wants_the_password(postgres_engine: Postgres) -> None:
    """A wrong password is refused."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_engine.dsn.replace(postgres_engine.password, "wrong"))


async def test_valkey_answers(valkey_engine: Valkey) -> None:
    """A client with the URL writes and reads; one without the password does not."""
    async with redis.from_url(valkey_engine.url) as client:
        await client.set("key", "value")
        assert await client.get("key") == b"value"
    async with redis.Redis(port=valkey_engine.port, retry=None) as stranger:
        with pytest.raises(redis.AuthenticationError):
            await stranger.get("key")


async def test_nats_answers(nats_engine: Nats) -> None:
    """A client with the URL declares a stream and publishes to it."""
    client = await nats_client.connect(nats_engine.url)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="TRIAL", subjects=["trial.>"])
        assert (await stream.publish("trial.a", b"x")).seq == 1
    finally:
        await client.close()


async def test_clickhouse_answers(clickhouse_engine: ClickHouse) -> None:
    """A clickhouse-connect client reaches it over HTTP."""
    client = await clickhouse_connect.get_async_client(
        host="127.0.0.1",
        port=clickhouse_engine.port,
        username=clickhouse_engine.user,
        password=clickhouse_engine.password,
    )
    try:
        assert str(await client.command("SELECT version()")).startswith("26.")
    finally:
        await client.close()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="suho-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_postgres_survives_kill_9(short_folder: Path) -> None:
    """Supervised, it comes back after SIGKILL with what was committed, whoever bears the dead server's pid by then."""
    engine = Postgres(short_folder / "postgres", free_ports(1)[0], "secret")
    supervisor = Supervisor(
        [engine.program()],
        [["postgres"]],
        lambda name: short_folder / f"{name}.log",
        Unwatched(),
        lambda text: None,
        patience=Patience(0.1, 1.0),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run(stop))
        await supervisor.until_ready()
        connection = await asyncpg.connect(engine.dsn)
        await connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
        pid = supervisor.supervised["postgres"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def rows() -> int:
            try:
                again = await asyncpg.connect(engine.dsn)
                try:
                    count: int = await again.fetchval("SELECT count(*) FROM kept")
                finally:
                    await again.close()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return 0
            return count

        await eventually(lambda: supervisor.supervised["postgres"].restarts)
        assert await eventually(rows, timeout_s=30) == 100
        connection.terminate()
        stop.set()


async def test_a_foreign_pid_does_not_keep_postgres_down(short_folder: Path) -> None:
    """A postmaster.pid that names a living process which is no PostgreSQL is not waited for."""
    engine, log = Postgres(short_folder / "postgres", free_ports(1)[0], "secret"), short_folder / "postgres.log"
    async with running(engine.program(), log):
        lock = (engine.data / "postmaster.pid").read_text()
    lines = lock.splitlines()
    (engine.data / "postmaster.pid").write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    async with running(engine.program(), log):
        await (await asyncpg.connect(engine.dsn)).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
async def test_postgres_as_nobody(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root may make no namespaces, the server runs as nobody, with its files."""
    monkeypatch.setattr("compose.embedded.postgres._identity", lambda: Identity(uid=65534))
    engine = Postgres(short_folder / "state" / "postgres", free_ports(1)[0], "secret")
    async with running(engine.program(), short_folder / "postgres.log"):
        await (await asyncpg.connect(engine.dsn)).close()
        assert engine.data.stat().st_uid == 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
async def test_postgres_out_of_nobodys_reach(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that nobody can not reach is an error that says what to do."""
    monkeypatch.setattr("compose.embedded.postgres._identity", lambda: Identity(uid=65534))
    os.chmod(short_folder, 0o700)
    engine = Postgres(short_folder / "state" / "postgres", free_ports(1)[0], "secret")
    with pytest.raises(CannotStartError, match=r"nobody, who can not reach .*--state"):
        await engine.program().prepare(short_folder / "postgres.log")


def test_root_prefers_a_namespace() -> None:
    """Whoever we are, the server does not run as root."""
    identity = _identity()
    assert os.geteuid() != 0 or identity.prefix or identity.uid
