"""A terminal and an agent of the benchmark's own, beside a running platform."""

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from suho.common.v1 import account_pb2
from suho.trading.v1 import trading_pb2, trading_pb2_grpc

from bench.race import NoShowError
from compose.embedded.programs import toml_of
from pc_agent.twin.feeds import plan_feeds, server_name

LOGIN = 2_000_001
_READY_WITHIN_S = 60.0
_LAST_WORDS = 400


@dataclass(frozen=True)
class Market:
    """What the twin plays: `feeds` as `suho up` takes them, none: a synthetic market of `seed`."""

    seed: int
    feeds: tuple[str, ...] = ("synthetic",)
    speed: str = "1"
    margin_mode: str = "netting"

    @property
    def account(self) -> account_pb2.AccountRef:
        return account_pb2.AccountRef(server=server_name(plan_feeds(self.feeds), self.seed), login=LOGIN)


@contextlib.asynccontextmanager
async def joined(
    market: Market, mesh: dict[str, Any], channel: grpc.aio.Channel, folder: Path, lanes: Sequence[str] = ()
) -> AsyncIterator[account_pb2.AccountRef]:
    """The account, traded by an agent whose lane 0 stands. `lanes`: arguments of `bench.signals.agent`.

    Raises:
        NoShowError: the agent does not join.
    """
    twin, agent = configs(market, tuple(mesh["hubs"]), folder)
    async with contextlib.AsyncExitStack() as stack:
        terminal = await stack.enter_async_context(_program("the twin", folder, "pc_agent.twin", "--config", twin))
        program = ("bench.signals.agent", *lanes) if lanes else ("pc_agent",)
        running = await stack.enter_async_context(_program("the agent", folder, *program, "--config", agent))
        await until_joined(trading_pb2_grpc.TradingServiceStub(channel), market.account, (terminal, running))
        yield market.account


def configs(market: Market, hubs: tuple[str, ...], folder: Path) -> tuple[str, str]:
    """The files that the twin and the agent are started with."""
    folder.mkdir(parents=True)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16), "utf-8")
    twin = _config(
        folder / "twin.toml",
        instance="bench-twin",
        folder=str(folder / "twin"),
        feeds=market.feeds,
        speed=market.speed,
        seed=market.seed,
        margin_mode=market.margin_mode,
        login=LOGIN,
        password=password.read_text("utf-8"),
    )
    terminal = {
        "module": "pc_agent.twin.client",
        "path": str(folder / "twin"),
        "login": LOGIN,
        "server": market.account.server,
        "password_file": str(password),
    }
    agent = _config(
        folder / "agent.toml",
        instance=f"bench-{market.account.server}",
        state_dir=str(folder / "agent"),
        hubs=hubs,
        terminals=(terminal,),
        # As many orders as come, however long the market of a replay has stood still.
        max_orders_per_minute=0,
        max_quote_age_ms=0,
    )
    return twin, agent


def _config(file: Path, **settings: Any) -> str:
    file.touch(mode=0o600)
    file.write_text(toml_of(settings), "utf-8")
    return str(file)


@dataclass(frozen=True)
class Running:
    """A program that was started, and where it writes what it has to say."""

    name: str
    process: asyncio.subprocess.Process
    said: Path

    def last_words(self) -> str:
        return self.said.read_text("utf-8", "replace")[-_LAST_WORDS:]


@contextlib.asynccontextmanager
async def _program(name: str, folder: Path, module: str, *arguments: str) -> AsyncIterator[Running]:
    said = folder / f"{module}.log"
    with said.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", module, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield Running(name, process, said)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def until_joined(
    stub: "trading_pb2_grpc.TradingServiceAsyncStub", account: account_pb2.AccountRef, programs: Sequence[Running]
) -> None:
    """Until the account has an agent.

    Raises:
        NoShowError: a program ended, or it takes too long.
    """
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=5)).accounts
                if any(one.account == account and one.agent for one in known):
                    return
                for one in programs:
                    if one.process.returncode is not None:
                        raise NoShowError(f"{one.name} ended with status {one.process.returncode}: {one.last_words()}")
                await asyncio.sleep(0.1)
    except TimeoutError:
        said = "; ".join(f"{one.name} said last: {one.last_words()}" for one in programs)
        raise NoShowError(f"no agent joined account {account.login} within {_READY_WITHIN_S:g} s; {said}") from None
