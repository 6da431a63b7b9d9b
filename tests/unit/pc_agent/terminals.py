"""A MetaTrader5 package whose terminal is a few arrays, and the pipe to a worker."""

import os
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mesh.market import TickId
from mesh.market.batch import COLUMNS, ordinals
from pc_agent.terminal.messages import WorkerTerms
from pc_agent.twin.symbols import in_group

TICK = np.dtype(
    [
        ("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"),
        ("volume", "<u8"), ("time_msc", "<i8"), ("flags", "<u4"), ("volume_real", "<f8"),
    ]
)  # fmt: skip


def ticks_at(time_msc: Any) -> Any:
    """A terminal's ticks at these milliseconds, each with a bid of its own."""
    ticks = np.zeros(len(time_msc), TICK)
    ticks["time_msc"] = time_msc
    ticks["time"] = ticks["time_msc"] // 1000
    ticks["bid"] = 1 + np.arange(len(ticks)) / 7
    ticks["flags"] = 6
    return ticks


def columns_of(ticks: Any) -> dict[str, Any]:
    """What a batch of all of them has."""
    given = {name: ticks[name] for name in COLUMNS if name != "ordinal"}
    return given | {"ordinal": ordinals(ticks["time_msc"])}


def ids_of(ticks: Any) -> list[TickId]:
    columns = columns_of(ticks)
    return [TickId(int(t), int(o)) for t, o in zip(columns["time_msc"], columns["ordinal"], strict=True)]


def terms(**values: Any) -> WorkerTerms:
    """Of a worker of the fake terminal."""
    given = {"instance": "a", "name": "terminal", "lock_file": Path("lock"), "agent_pid": os.getpid(), "module": ""}
    return WorkerTerms(**(given | values))


class FakeMt5:
    """Logged in to `account`; `gone` calls end as when there is no terminal."""

    COPY_TICKS_ALL = -1
    ORDER_TYPE_BUY = 0

    def __init__(self, **ticks: Any) -> None:
        self.ticks = ticks
        self.account = ("broker", 42)
        self.shown = set(ticks)
        self.gone = False
        self.back_after: int | None = None  # so many more calls of initialize
        self.calls: list[str] = []
        self.most_listed = 0  # by one group
        # Of terminal_info and account_info.
        self.terminal = {
            "connected": True, "trade_allowed": True, "tradeapi_disabled": False, "dlls_allowed": False,
            "ping_last": 20_000, "retransmission": 0.0, "build": 5_000, "path": "C:/mt5",
        }  # fmt: skip
        self.rights = {"trade_allowed": True, "trade_expert": True}
        self.facts: dict[str, Any] = {}  # of every symbol
        self.during_copy = lambda: None

    def initialize(self, **_: Any) -> bool:
        if self.back_after is not None:
            self.back_after -= 1
            self.gone = self.back_after > 0
        return not self.gone

    def shutdown(self) -> None:
        return None

    def last_error(self) -> tuple[int, str]:
        return (-10_004, "No IPC connection") if self.gone else (1, "Success")

    def account_info(self) -> Any:
        server, login = self.account
        if self.gone:
            return None
        values = {"trade_mode": 0, "margin_mode": 2, "currency": "USD", "leverage": 100, "company": "a broker"}
        money = {"balance": 100.0, "equity": 100.0}
        return SimpleNamespace(server=server, login=login, **values, **money, **self.rights)

    def terminal_info(self) -> Any:
        return None if self.gone else SimpleNamespace(**self.terminal)

    def symbols_total(self) -> Any:
        return None if self.gone else len(self.ticks)

    def symbols_get(self, group: str = "") -> Any:
        self.calls.append(f"symbols_get {group}".strip())
        found = [self._symbol(name) for name in self.ticks if in_group(name, group or None)]
        self.most_listed = max(self.most_listed, len(found) if group else 0)
        return found

    def symbol_info(self, name: str) -> Any:
        self.calls.append(f"symbol_info {name}")
        return None if self.gone or name not in self.ticks else self._symbol(name)

    def symbol_select(self, name: str, shown: bool) -> bool:
        (self.shown.add if shown else self.shown.discard)(name)
        return name in self.ticks

    def order_calc_margin(self, _: int, name: str, lots: float, price: float) -> float:
        self.calls.append(f"margin {name}")
        return lots * price * 1_000

    def _symbol(self, name: str) -> Any:
        values = {
            "name": name, "select": name in self.shown, "digits": 5, "point": 1e-5, "trade_tick_size": 1e-5,
            "trade_tick_value": 1.0, "trade_contract_size": 1.0, "volume_min": 0.01, "volume_max": 1.0,
            "volume_step": 0.01, "volume_limit": 0.0, "trade_stops_level": 0, "trade_freeze_level": 0,
            "trade_mode": 4, "trade_exemode": 2, "filling_mode": 3, "expiration_mode": 15, "order_mode": 127,
            "currency_base": "EUR", "currency_profit": "USD", "currency_margin": "EUR",
            "spread_float": True,
        }  # fmt: skip
        return SimpleNamespace(**(values | self.facts))

    def symbol_info_tick(self, symbol: str) -> Any:
        ticks = self.ticks[symbol]
        return SimpleNamespace(time_msc=int(ticks["time_msc"][-1]), ask=2.0) if len(ticks) else None

    def copy_ticks_from(self, symbol: str, since: Any, count: int, _: int) -> Any:
        self.calls.append(f"copy {symbol}")
        if self.gone:
            return None
        ticks = self.ticks[symbol]
        start = int(np.searchsorted(ticks["time"], int(since.timestamp())))
        page = ticks[start : start + count].copy()
        self.during_copy()
        return page


class FakePipe:
    """A worker's end: commands come from `inbox`, what it says is kept."""

    def __init__(self) -> None:
        self.inbox: deque[Any] = deque()
        self.events: list[Any] = []

    def poll(self, _: float = 0) -> bool:
        return bool(self.inbox)

    def recv(self) -> Any:
        return self.inbox.popleft()

    def send(self, event: Any) -> None:
        self.events.append(event)

    def said(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]
