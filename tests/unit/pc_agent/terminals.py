"""A MetaTrader5 package whose terminal is a few arrays, and the pipe to a worker."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np

from mesh.market import TickId
from mesh.market.batch import COLUMNS, ordinals

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


class FakeMt5:
    """Logged in to `account`; `gone` calls end as when there is no terminal."""

    COPY_TICKS_ALL = -1

    def __init__(self, **ticks: Any) -> None:
        self.ticks = ticks
        self.account = ("broker", 42)
        self.shown = set(ticks)
        self.gone = False
        self.back_after: int | None = None  # so many more calls of initialize
        self.calls: list[str] = []
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
        return None if self.gone else SimpleNamespace(server=server, login=login, trade_mode=0)

    def terminal_info(self) -> Any:
        return None if self.gone else SimpleNamespace(connected=True)

    def symbols_get(self) -> Any:
        self.calls.append("symbols_get")
        return [
            SimpleNamespace(
                name=name, select=name in self.shown, digits=5,
                volume_min=0.01, volume_max=1.0, volume_step=0.01, trade_contract_size=1.0,
            )
            for name in self.ticks
        ]  # fmt: skip

    def symbol_info_tick(self, symbol: str) -> Any:
        ticks = self.ticks[symbol]
        return SimpleNamespace(time_msc=int(ticks["time_msc"][-1])) if len(ticks) else None

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
