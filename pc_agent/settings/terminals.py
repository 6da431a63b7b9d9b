"""The settings of one terminal."""

import stat
import sys
from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mesh.config import Settings

MOST_TERMINALS_OF_AN_ACCOUNT = 5


class TerminalSettings(Settings):
    """A terminal on this PC: a `[[terminals]]` table. Its password stands in a file of its own, never in a setting.

    Terminals of the same account work in parallel.
    """

    name: str = Field(
        "terminal",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        examples=["second"],
        description="What it is called in logs and in the status.",
    )
    module: Literal["MetaTrader5", "pc_agent.twin.client"] = Field(
        "MetaTrader5", description="How it is spoken to: MetaTrader's package, or the twin's client."
    )
    path: str = Field(
        "",
        examples=[r"C:\MT5-second\terminal64.exe"],
        description="terminal64.exe, or the twin's folder; empty: the one that MetaTrader finds.",
    )
    portable: bool = Field(
        False, examples=[True], description="The terminal keeps its data in its own folder (terminal64 /portable)."
    )
    login: int = Field(
        0, ge=0, examples=[12345678], description="Account number; 0: the one that the terminal is logged in to."
    )
    server: str = Field("", examples=["MyBroker-Live"], description="The account's server, as the terminal shows it.")
    password_file: Path | None = Field(
        None,
        examples=[r"C:\Users\me\AppData\Local\suho\second.password"],
        description="File with the account's password, readable by you alone.",
    )
    symbols: tuple[str, ...] = Field((), description="Symbols that this terminal carries; none: as the agent is set.")
    symbol_names: dict[str, str] = Field(
        default_factory=dict, description="Names in the mesh and what this broker calls them: EURUSD = 'EURUSD.r'."
    )
    symbol_prefixes: tuple[str, ...] = Field((), description="What this broker puts before names: taken off.")
    symbol_suffixes: tuple[str, ...] = Field(
        (), examples=[[".r"]], description="What this broker puts behind names: taken off."
    )
    initialize_timeout_ms: int = Field(
        60_000, ge=1_000, le=600_000, description="How long the terminal may take to start and to log in."
    )
    read_timeout_ms: int = Field(
        30_000, ge=1_000, le=600_000, description="How long the terminal may take for any answer but an order's."
    )
    cpu_limit_percent: float = Field(
        0,
        ge=0,
        le=6_400,
        examples=[50],
        description="Most of one processor that the instance may use, 100 is all of it; 0: no limit.",
    )
    memory_limit_mb: float = Field(
        0, ge=0, examples=[2000], description="Most memory that the instance may use; 0: no limit."
    )

    @field_validator("symbol_names")
    @classmethod
    def _one_name_each(cls, value: dict[str, str]) -> dict[str, str]:
        if len(set(value.values())) < len(value):
            raise ValueError("two names stand for the same symbol of the broker: leave one of them out")
        return value

    @model_validator(mode="after")
    def _password_is_private(self) -> Self:
        file = self.password_file
        if file is None:
            if self.login:
                raise ValueError("login is given, so password_file must be too")
            return self
        if not file.is_file():
            raise ValueError(f"password_file: there is no file {file}")
        if sys.platform != "win32" and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"password_file: {file} can be read by others; give it mode 0600")
        return self


def pools_of(terminals: tuple[TerminalSettings, ...]) -> list[tuple[TerminalSettings, ...]]:
    """Those of one account together, in their order."""
    pools: dict[tuple[str, int], list[TerminalSettings]] = {}
    for terminal in terminals:
        pools.setdefault((terminal.server, terminal.login), []).append(terminal)
    return [tuple(pool) for pool in pools.values()]


def defect(terminals: tuple[TerminalSettings, ...]) -> str:
    """What is wrong with them together, in words; empty: nothing."""
    names = Counter(terminal.name for terminal in terminals)
    places = Counter((terminal.module, terminal.path) for terminal in terminals)
    for terminal in terminals:
        if names[terminal.name] > 1:
            return f"{names[terminal.name]} terminals are called {terminal.name!r}: give each a name of its own"
        if len(terminals) > 1 and not (terminal.path and terminal.login and terminal.server):
            return f"of several terminals each must have path, login and server: {terminal.name!r} lacks one of them"
        if places[terminal.module, terminal.path] > 1:
            return f"several terminals have the path {terminal.path!r}: each must be an installation of its own"
    for pool in pools_of(terminals):
        if len(pool) > MOST_TERMINALS_OF_AN_ACCOUNT:
            most, account = MOST_TERMINALS_OF_AN_ACCOUNT, f"{pool[0].login} at {pool[0].server}"
            return f"account {account} has {len(pool)} terminals: more than {most} are of no use"
    return ""
