"""`suho up` as a person sees it: it starts, shows, ends, and leaves nothing behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from compose.embedded.programs import PACKAGES
from tests.support.platform import RunningPlatform, run_platform
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ENGINES = ("postgres", "clickhouse", "valkey", "nats")
EVERYONE = (*PACKAGES, *ENGINES)


def alive(processes: Sequence[psutil.Process]) -> list[str]:
    """Names of those that still run."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()[:5]))
        except psutil.NoSuchProcess:
            continue
    return found


async def until_ticks_are_stored(platform: RunningPlatform) -> None:
    await eventually(lambda: " stored" in platform.messages, timeout_s=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[RunningPlatform]:
    """One that is ready and has stored ticks; the last of its tests ends it."""
    async with run_platform() as platform:
        await platform.ready()
        await until_ticks_are_stored(platform)
        yield platform


@pytest.mark.asyncio(loop_scope="module")
async def test_passwords_are_nowhere_to_be_seen(session: RunningPlatform) -> None:
    """No password stands in a command line, an environment, a log or on the screen."""
    passwords = json.loads((session.state / "passwords.json").read_text()).values()
    seen = [session.messages, session.output, *map(session.log_of, EVERYONE)]
    looked_at = 0
    for process in session.everyone():
        with contextlib.suppress(psutil.NoSuchProcess):  # an engine's own come and go
            seen += [" ".join(process.cmdline()), " ".join(process.environ().values())]
            looked_at += 1
    assert looked_at > len(EVERYONE)
    assert len(passwords) >= 5
    assert not [password for password in passwords for text in seen if password in text]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_second_up_is_refused(session: RunningPlatform) -> None:
    """The state folder's owner is named."""
    async with run_platform(state=session.state) as second:
        assert await second.ended() == 1
        assert f"in use by another `suho up` (pid {session.pid})" in second.messages


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session(session: RunningPlatform) -> None:
    """It says what it has before it is ready, runs ten programs, restarts a killed one, ends soon after Ctrl-C: it
    gives its programs 4.5 s in all."""
    opening = session.messages.splitlines()[:3]
    assert str(session.state) in opening[0]
    assert f"hub {session.hubs[0].split(':')[1]}" in opening[1]
    assert opening[2].split()[1:3] == ["grpcurl", "-plaintext"]
    everyone = session.everyone()
    assert all(session.pid_of(name) for name in EVERYONE)
    assert (session.state / "config" / "database.toml").stat().st_mode & 0o777 == 0o600

    registered = session.log_of("database").count("registered")
    before = session.kill("database")
    await eventually(lambda: session.pid_of("database") not in (None, before), timeout_s=60)
    assert session.restarts_of("database") == 1
    assert "database was ended by SIGKILL; starting it again in 1 s" in session.messages
    await eventually(lambda: session.log_of("database").count("registered") > registered, timeout_s=60)

    began = time.monotonic()
    session.process.send_signal(signal.SIGINT)
    assert await session.ended() == 0
    assert time.monotonic() - began < 20
    assert alive(everyone) == []


async def test_kill_9(tmp_path: Path) -> None:
    """Soon after SIGKILL nothing of it runs: its guard gives programs 1.5 s; the next start on the same state is ready
    and keeps what was stored."""
    state = tmp_path / "state"
    async with run_platform(state=state) as platform:
        await platform.ready()
        await until_ticks_are_stored(platform)
        everyone = platform.everyone()
        platform.process.kill()
        await eventually(lambda: not alive(everyone), timeout_s=20)
    async with run_platform("--for", "2", state=state) as platform:
        summary = await platform.summary()
        assert platform.process.returncode == 0, platform.messages
    assert set(summary) == {
        *("startup_s", "ticks_per_s", "symbols", "orders", "tick_stored_ms", "signal_executed_ms", "restarts"),
        *("incidents", "memory_peak_mb"),
    }  # fmt: skip
    assert set(summary["symbols"]) == {"EURUSD", "GBPUSD", "USDJPY", "XAUUSD"}
    for symbol in summary["symbols"].values():
        assert symbol["lost"] == 0
        # A live feed may go on between the two counts.
        assert symbol["stored"] == symbol["distinct"] >= symbol["sent"] > 0


async def test_a_wrong_strategy_ends_it(tmp_path: Path) -> None:
    """A program that refuses a setting ends the start: program and setting are named, and nothing is left."""
    async with run_platform("--strategy", "astrology", state=tmp_path / "state") as platform:
        await eventually(lambda: platform.mesh, 30)
        everyone = platform.everyone()
        assert await platform.ended() == 1
        assert "trading-engine can not start with its settings" in platform.messages
        assert "'strategy'" in platform.messages
        assert "astrology" in platform.messages
        assert alive(everyone) == []


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["--feed", "EURUSD=nowhere.csv"], "nowhere.csv does not exist"),
        (["--until-fed"], "--until-fed needs a feed that ends"),
        (["--speed", "warp"], "speed"),
    ],
)
async def test_wrong_options_start_nothing(tmp_path: Path, arguments: list[str], because: str) -> None:
    """A wrong option is one sentence and status 1, and no state folder is made."""
    async with run_platform(*arguments, state=tmp_path / "state") as platform:
        assert await platform.ended() == 1
        assert because in platform.messages
        assert "Traceback" not in platform.messages
        assert not platform.state.exists()


async def test_a_variable_that_nobody_reads_starts_nothing(tmp_path: Path) -> None:
    """A typing error in a variable's name is refused with the name that was meant."""
    typo = {"SUHO_HBU_PORT": "7001"}
    async with run_platform(state=tmp_path / "state", environment=typo) as platform:
        assert await platform.ended() == 1
        assert "SUHO_HBU_PORT is read by no program; did you mean SUHO_HUB_" in platform.messages
        assert not platform.state.exists()


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    """A documented port in use is named with its program."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", 7000))
        except OSError:
            pass  # somebody else has it: just as well
        else:
            server.listen()
        command = [sys.executable, "-P", "-m", "cli", "up", "--state", str(tmp_path / "state")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "port 7000 of hub is in use" in ended.stderr


# Root outside, user 65534 inside: neither Python's place nor the checkout need be open to others.
AS_NOBODY = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run([*AS_NOBODY, "true"], check=False).returncode != 0,
    reason="needs root and user namespaces, to become somebody else",
)
async def test_as_another_user(tmp_path: Path) -> None:
    """It runs as a user who is not root."""
    async with run_platform("--for", "1", state=tmp_path / "state", prefix=AS_NOBODY) as platform:
        await platform.ready()
        await platform.summary()
        assert platform.process.returncode == 0, platform.messages
