"""This PC's own safety as it runs: its files, what counts, who is told."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from mesh.config import SettingsError
from mesh.orders import Kind
from pc_agent.domain.books import BookOrder, Books, Money
from pc_agent.domain.dead_man import Noted
from pc_agent.domain.live_settings import DeadMan, LiveSettings
from pc_agent.domain.orders import Account, Entry, OrderState, Result, Side, Signal
from pc_agent.domain.safety import DAY_S, TradingDay, TradingState
from pc_agent.orders import engine_absence
from pc_agent.orders import safety as module
from pc_agent.orders.account_books import Look
from pc_agent.orders.safety import Safety
from pc_agent.orders.safety_file import KillSwitch, Remembered, SafetyFile
from pc_agent.settings.live import live_settings
from pc_agent.settings.live_fields import LiveFields
from tests.support import eventually

ACCOUNT = Account("Broker/Demo 1", 42)
NOON_S = 20_000 * DAY_S + DAY_S // 2
ENTRY = Signal("s1", ACCOUNT, 1, 1, False, False, "EURUSD", Side.BUY, "0.3", "", "", 1)
D = Decimal


@pytest.fixture(autouse=True)
def _looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE_S", -1.0)


class Desk:
    """A safety with all that it asks."""

    def __init__(self, folder: Path, *, is_demo: bool = True, **settings: object) -> None:
        self.settings: LiveSettings = replace(live_settings(LiveFields()), **settings)  # type: ignore[arg-type]
        self.engine, self.disabled = True, ""
        self.withdrawn: list[bool] = []
        self.switch = KillSwitch(folder)
        self.safety = Safety(
            ACCOUNT, is_demo, False, lambda: self.settings, self.switch, SafetyFile(folder), lambda: self.engine,
            lambda: self.disabled, lambda: ([], []), self._withdraw,
        )  # fmt: skip

    async def _withdraw(self, flatten: bool, _: str) -> None:
        self.withdrawn.append(flatten)

    def reason(self, signal: Signal = ENTRY) -> str:
        refused = self.safety.refusal(signal)
        return refused.reason if refused else ""

    def looked(
        self, equity: float, server_s: int = NOON_S, asked: float = 0.0, paid_in: int = 0,
        orders: Sequence[BookOrder] = (), *, is_told: bool = True,
    ) -> None:  # fmt: skip
        books = Books(60.0, tuple(orders), (), (), (), Money(equity, equity, 0.0, equity))
        self.safety.looked(Look(books, server_s * 10**9, server_s, asked, D(paid_in), is_told))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.safety.run())
            yield
            running.cancel()


def test_terminals_hear_at_once_that_entries_are_stopped(tmp_path: Path) -> None:
    """By this PC or by the engine; while both allow them they go on."""
    desk, said = Desk(tmp_path), list[bool]()
    desk.safety.stop_entries = said.append
    desk.safety.halt("news")
    desk.safety.engine_says(TradingState.HALTED)
    desk.safety.resume()
    desk.safety.engine_says(TradingState.REDUCING)
    assert said == [True, True, True, False]


def test_whoever_makes_the_file_stops_all_entries(tmp_path: Path) -> None:
    """At once and with the reason that stands in it, whatever made it; without it they go on."""
    desk = Desk(tmp_path)
    assert desk.reason() == ""
    (tmp_path / "HALT").write_text("a storm is coming\n")
    refused = desk.safety.refusal(ENTRY)
    assert refused
    assert refused.reason == "KILL_SWITCH"
    assert "a storm is coming" in refused.message
    (tmp_path / "HALT").unlink()
    assert desk.reason() == ""


@pytest.mark.parametrize("name", ["HALT.txt", "HALT.42@Broker%2FDemo 1", "HALT.42@Broker%2FDemo 1.txt"])
def test_a_file_of_windows_editors_stops_entries_too(tmp_path: Path, name: str) -> None:
    """They put .txt behind the name unseen, and a mark before the text; to resume takes the file away."""
    desk = Desk(tmp_path)
    (tmp_path / name).write_text("\ufeffa storm is coming", "utf-8")
    assert desk.switch.reason(ACCOUNT) == "a storm is coming"
    desk.switch.lift(None if name == "HALT.txt" else ACCOUNT)
    assert desk.reason() == ""
    assert not list(tmp_path.glob("HALT*"))


def test_a_switch_of_one_account_leaves_the_others(tmp_path: Path) -> None:
    """Thrown it outlives the agent; lifting all lifts every one."""
    desk, other = Desk(tmp_path), Account("Broker/Demo 1", 43)
    desk.switch.throw(ACCOUNT, "mine")
    assert (desk.switch.reason(ACCOUNT), desk.switch.reason(other)) == ("mine", None)
    assert Desk(tmp_path).reason() == "KILL_SWITCH"
    desk.switch.throw(None, "all")
    desk.switch.lift(ACCOUNT)
    assert (desk.switch.reason(ACCOUNT), desk.switch.reason(other)) == ("all", "all")
    desk.switch.throw(other, "its own")
    desk.switch.lift(None)
    assert (desk.switch.reason(ACCOUNT), desk.switch.reason(other)) == (None, None)


@pytest.mark.skipif(sys.platform == "win32", reason="there no folder can be written through")
def test_a_thrown_switch_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's name is on the disk too, when it is said that it was thrown."""
    written: list[tuple[bool, bool]] = []

    def sync(descriptor: int) -> None:
        written.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "HALT").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    KillSwitch(tmp_path).throw(None, "storm")
    assert written == [(False, False), (True, True)]


def test_live_money_is_allowed_here_and_nowhere_else(tmp_path: Path) -> None:
    """It is remembered; resuming does not allow it, the engine neither."""
    desk = Desk(tmp_path, is_demo=False)
    desk.safety.engine_says(TradingState.ACTIVE)
    assert desk.safety.resume().reason == desk.reason() == "LIVE_MONEY_NOT_ALLOWED"
    desk.safety.allow_live_money(True)
    assert Desk(tmp_path, is_demo=False).reason() == ""
    desk.safety.allow_live_money(False)
    assert Desk(tmp_path, is_demo=False).reason() == "LIVE_MONEY_NOT_ALLOWED"


def test_a_file_that_can_not_be_understood_allows_nothing(tmp_path: Path) -> None:
    """The agent does not start on it, rather than to forget a loss or a ban."""
    (tmp_path / "safety.json").write_text("{")
    with pytest.raises(SettingsError, match=r"safety\.json"):
        SafetyFile(tmp_path)


def test_a_day_of_losses_ends_with_the_brokers_day(tmp_path: Path) -> None:
    """What is paid out is no loss; the loss is remembered through a restart."""
    desk = Desk(tmp_path, max_daily_loss=D(100))
    desk.looked(1000.0)
    desk.looked(800.0, paid_in=-200)
    assert desk.reason() == ""
    desk.looked(900.0, paid_in=-100)
    assert desk.reason() == ""
    desk.looked(800.0, paid_in=-100)
    assert desk.reason() == "DAILY_LOSS"
    again = Desk(tmp_path, max_daily_loss=D(100))
    again.looked(900.0)
    assert again.reason() == "DAILY_LOSS"
    again.looked(900.0, NOON_S + DAY_S, is_told=False)  # by the PC's clock alone, which may be set wrong
    assert again.reason() == "DAILY_LOSS"
    again.looked(900.0, NOON_S + DAY_S)
    assert again.reason() == ""


def test_an_order_counts_until_the_books_show_it(tmp_path: Path) -> None:
    """From intent on; refused it never was, filled it is held, and read afterwards the books speak for it."""
    desk = Desk(tmp_path, max_symbol_volume=D("0.5"))
    safety = desk.safety
    safety.note_intent(ENTRY)
    second = replace(ENTRY, signal_id="s2")
    assert desk.reason(second) == "SYMBOL_VOLUME_CAP"
    safety.note_result(Entry(ENTRY, Result(OrderState.UNKNOWN), 1))
    assert desk.reason(second) == "SYMBOL_VOLUME_CAP"
    safety.note_result(Entry(ENTRY, Result(OrderState.REJECTED), 1))
    assert desk.reason(second) == ""
    safety.note_intent(second)
    safety.note_result(Entry(second, Result(OrderState.FILLED, volume="0.3"), 1))
    desk.looked(1.0, asked=0.0)  # asked for before it was answered
    assert desk.reason() == "SYMBOL_VOLUME_CAP"
    desk.looked(1.0, asked=float("inf"))
    assert desk.reason() == ""


def test_a_fill_counts_until_its_deal_is_shown(tmp_path: Path) -> None:
    """Another terminal of the account may lag behind: then so long as no look should take, at most."""
    desk, shown = Desk(tmp_path, max_symbol_volume=D("0.5")), set[int]()
    desk.safety.has_shown = shown.__contains__
    for signal, deal in ((ENTRY, 7), (replace(ENTRY, signal_id="s2"), 8)):
        assert desk.reason() == ""
        desk.safety.note_intent(signal)
        desk.safety.note_result(Entry(signal, Result(OrderState.FILLED, deal=deal, volume="0.3"), 1))
        desk.looked(1.0, asked=time.monotonic() + 1)
        assert desk.reason() == "SYMBOL_VOLUME_CAP"
        assert desk.safety.expected == {"EURUSD": {signal.signal_id}}
        shown.add(7)
        desk.looked(1.0, asked=time.monotonic() + (1 if deal == 7 else 61))
    assert desk.reason() == ""
    assert desk.safety.expected == {}


def test_a_pending_order_counts_until_it_is_shown_to_work(tmp_path: Path) -> None:
    """By its ticket."""
    desk = Desk(tmp_path, max_open_positions=1)
    limit = replace(ENTRY, kind=Kind.LIMIT, price="1.0")
    desk.safety.note_intent(limit)
    desk.safety.note_result(Entry(limit, Result(OrderState.PLACED, ticket=5), 1))
    desk.looked(1.0, asked=time.monotonic() + 1)
    assert desk.safety.expected
    works = BookOrder(5, 0, "", "EURUSD", 2, 1, 0, 0.3, 0.3)
    desk.looked(1.0, asked=time.monotonic() + 1, orders=[works])
    assert not desk.safety.expected
    assert desk.reason(replace(ENTRY, symbol="USDJPY")) == "OPEN_POSITIONS_CAP"


def test_caps_go_on_over_a_restart(tmp_path: Path) -> None:
    """What is in doubt has its place and its volume until that is resolved; entries of the last minute count."""
    desk = Desk(tmp_path, max_open_positions=1, max_orders_per_minute=3)
    other = replace(ENTRY, signal_id="s2", symbol="USDJPY")
    desk.safety.note_result(Entry(ENTRY, Result(OrderState.UNKNOWN), 1))
    desk.safety.note_result(Entry(replace(ENTRY, signal_id="s3", volume="x"), Result(OrderState.UNKNOWN), 1))
    assert desk.reason(other) == "OPEN_POSITIONS_CAP"
    desk.safety.note_result(Entry(ENTRY, Result(OrderState.NOT_EXECUTED), 1))
    assert desk.reason(other) == ""
    now = time.time_ns()
    desk.safety.note_intent(ENTRY)
    desk.safety.note_result(Entry(ENTRY, Result(OrderState.REJECTED), 1))
    desk.safety.recall([now - 61 * 10**9, now - 10**9])
    assert desk.reason(other) == ""
    desk.safety.recall([now + 10**9])  # by a clock that was set back meanwhile
    assert desk.reason(other) == "ORDER_RATE_CAP"


async def test_an_engine_that_is_gone_for_too_long_stops_entries(tmp_path: Path) -> None:
    """Pending ones are withdrawn, positions stay; with the engine back they are let in again."""
    desk = Desk(tmp_path, dead_man=DeadMan.STOP_ENTRIES, dead_man_after_s=0.01)
    async with desk.running():
        await asyncio.sleep(0)
        assert desk.reason() == ""
        desk.engine = False
        await eventually(lambda: desk.reason() == "DEAD_MAN" and desk.withdrawn == [False])
        desk.engine = True
        await eventually(lambda: desk.reason() == "")
    assert desk.withdrawn == [False]


async def test_an_absence_is_remembered_until_the_engine_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the disk, whenever the agent ends; a file of an older agent knows of none."""
    monkeypatch.setattr(engine_absence, "_NOTE_S", 0.0)
    gone = Desk(tmp_path)
    gone.engine = False

    def noted() -> Noted:
        return SafetyFile(tmp_path).of(ACCOUNT).absence

    async with gone.running():
        await eventually(lambda: 0 < noted().since_unix_s <= noted().at_unix_s)
    async with Desk(tmp_path).running():
        await eventually(lambda: noted() == Noted())
    (tmp_path / "safety.json").write_text(
        '{"42@Broker/Demo 1": {"live_money_allowed": true, "day": {"day": 1, "equity": "1", "lost": false},'
        ' "flattened": false}}'
    )
    assert SafetyFile(tmp_path).of(ACCOUNT) == Remembered(True, TradingDay(1, D(1)))


async def test_a_dead_man_that_closes_waits_for_a_person(tmp_path: Path) -> None:
    """The engine's return alone lets no entry in, nor does the agent's own."""
    desk = Desk(tmp_path, dead_man=DeadMan.FLATTEN, dead_man_after_s=0.01)
    desk.engine = False
    async with desk.running():
        await eventually(lambda: desk.withdrawn == [True])
        desk.engine = True
        assert desk.reason() == Desk(tmp_path).reason() == "DEAD_MAN"
        await eventually(lambda: not desk.safety.resume().halted)
    assert Desk(tmp_path).reason() == ""


async def test_a_change_is_heard_of_at_once(tmp_path: Path) -> None:
    """Whoever tells the engine is woken, with the words for people."""
    desk = Desk(tmp_path)
    desk.disabled = "AutoTrading is off in the terminal: press the button"
    async with desk.running():
        await asyncio.wait_for(desk.safety.changed.wait(), 30)
    assert (desk.safety.state.reason, desk.safety.state.message) == ("TRADING_DISABLED", desk.disabled)
