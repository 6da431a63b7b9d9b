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
_READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Market:
    """What the twin plays: `feeds` as `suho up` takes them, none: a synthetic market of `seed`."""

    seed: int
    feeds: tuple[str, ...] = ("synthetic",)
    speed: str = "1"

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
        await stack.enter_async_context(_program("pc_agent.twin", "--config", twin))
        program = ("bench.signals.agent", *lanes) if lanes else ("pc_agent",)
        await stack.enter_async_context(_program(*program, "--config", agent))
        await until_joined(trading_pb2_grpc.TradingServiceStub(channel), market.account)
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
    )
    return twin, agent


def _config(file: Path, **settings: Any) -> str:
    file.touch(mode=0o600)
    file.write_text(toml_of(settings), "utf-8")
    return str(file)


@contextlib.asynccontextmanager
async def _program(module: str, *arguments: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def until_joined(stub: "trading_pb2_grpc.TradingServiceAsyncStub", account: account_pb2.AccountRef) -> None:
    try:
        async with asyncio.timeout(_READY_WITHIN_S):
            while True:
                known = (await stub.ListAccounts(trading_pb2.ListAccountsRequest(), timeout=5)).accounts
                if any(one.account == account and one.agent for one in known):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise NoShowError(f"no agent joined for account {account.login} within {_READY_WITHIN_S:g} s") from None
