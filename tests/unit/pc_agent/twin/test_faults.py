"""What goes wrong at the terminal: by script, by seed, and what it leaves in the books."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pc_agent.twin import constants as mt5
from pc_agent.twin.domain.faults import FAULTS, FaultError, FaultPlan, Scripted, fault_named, parse_chances
from pc_agent.twin.domain.ticks import TICK_DTYPE
from pc_agent.twin.faults import Faults
from pc_agent.twin.results import OrderSendResult, TradeRequest
from pc_agent.twin.terminal import Terminal
from pc_agent.twin.wire import SUCCESS
from tests.unit.pc_agent.twin.conftest import OpenTerminal, Quotes

BUY = TradeRequest(action=mt5.TRADE_ACTION_DEAL, symbol="EURUSD", volume=1.0, type=mt5.ORDER_TYPE_BUY, magic=7)
ALL_TIME = (0, 2**31 - 1)

Trader = Callable[..., Terminal]


@pytest.fixture
def trader(open_terminal: OpenTerminal, replay: Callable[[str, Quotes], str]) -> Trader:
    """A terminal with one quote of each symbol and these faults."""

    def start(faults: Faults, **account: Any) -> Terminal:
        feeds = (replay("EURUSD", [(0, 1.1, 1.1002)]), replay("GBPUSD", [(0, 1.3, 1.3002)]))
        return open_terminal(*feeds, interference=faults, **account)

    return start


def send(terminal: Terminal, request: TradeRequest = BUY) -> tuple[int, OrderSendResult | None]:
    code, _, result = terminal.handle("order_send", (request,))
    return code, result


def scripted(terminal: Terminal, name: str, **fields: Any) -> None:
    assert terminal.handle("script_fault", ({"name": name, **fields},)) == (*SUCCESS, None)


def deals(terminal: Terminal) -> int:
    return int(terminal.handle("deal_count", (None,))[2])


REFUSALS = {name: fault.before.retcode for name, fault in FAULTS.items() if fault.before.retcode}
ERRORS = {name: fault.before.error for name, fault in FAULTS.items() if fault.before.error}


@pytest.mark.parametrize("name", [*REFUSALS, "10017"])
def test_a_refusal_executes_nothing_and_its_twin_hides_an_execution(trader: Trader, name: str) -> None:
    """The same return code, once with nothing in the books and once with a deal that the answer denies."""
    terminal = trader(Faults())
    retcode = REFUSALS.get(name, 10017)
    scripted(terminal, name)
    scripted(terminal, f"executed-{name}")
    for made in (0, 1):
        code, result = send(terminal)
        assert result is not None
        assert (code, result.retcode, result.deal, result.order) == (mt5.RES_S_OK, retcode, 0, 0)
        assert deals(terminal) == made
    code, result = send(terminal)
    assert result is not None
    assert result.retcode == mt5.TRADE_RETCODE_DONE


@pytest.mark.parametrize("name", ERRORS)
def test_a_call_that_fails_may_have_been_executed(trader: Trader, name: str) -> None:
    """No result but an error of the connection's, before the execution or after it."""
    terminal = trader(Faults())
    scripted(terminal, name)
    scripted(terminal, f"executed-{name}")
    assert (send(terminal), deals(terminal)) == ((ERRORS[name], None), 0)
    assert (send(terminal), deals(terminal)) == ((ERRORS[name], None), 1)


def test_a_cut_connection_is_cut_before_or_after(trader: Trader) -> None:
    """The listener hangs up on the client; what was executed is."""
    terminal = trader(Faults())
    for name, made in (("cut", 0), ("executed-cut", 1)):
        scripted(terminal, name)
        with pytest.raises(ConnectionError):
            send(terminal)
        assert deals(terminal) == made


def test_slippage_and_partial_fills(trader: Trader) -> None:
    """Points worse or better than the quote; half of the volume, or none of it."""
    terminal = trader(Faults())
    prices, volumes = [], []
    for name in ("slip", "slip-better"):
        scripted(terminal, name)
        prices.append(send(terminal)[1])
    assert [result.price for result in prices if result] == [1.10023, 1.10018]
    for name in ("partial", "nobody"):
        scripted(terminal, name)
        volumes.append(send(terminal, BUY._replace(type_filling=mt5.ORDER_FILLING_IOC))[1])
    assert [(result.retcode, result.volume) for result in volumes if result] == [
        (mt5.TRADE_RETCODE_DONE_PARTIAL, 0.5),
        (mt5.TRADE_RETCODE_REJECT, 0.0),
    ]


def test_a_script_is_followed_in_its_order_for_what_it_is_meant_for(trader: Trader) -> None:
    """By symbol, by function, so many times; the rest goes well."""
    faults = Faults()
    terminal = trader(faults)
    scripted(terminal, "requote", symbol="GBPUSD", times=2)
    scripted(terminal, "ipc-timeout", function="positions_get")
    answers = [send(terminal, BUY._replace(symbol=symbol))[1] for symbol in ("EURUSD", "GBPUSD", "GBPUSD", "GBPUSD")]
    assert [result.retcode for result in answers if result] == [10009, 10004, 10004, 10009]
    assert terminal.handle("positions_get", (None, None, None))[0] == mt5.RES_E_INTERNAL_FAIL_TIMEOUT
    assert terminal.handle("positions_get", (None, None, None))[0] == mt5.RES_S_OK
    assert terminal.handle("fault_counts", ())[2] == {"requote": 2, "ipc-timeout": 1}
    code, words, _ = terminal.handle("script_fault", ({"name": "bad-luck"},))
    assert code == mt5.RES_E_INVALID_PARAMS
    assert words.startswith("there is no fault 'bad-luck'; known are requote,")
    assert terminal.handle("script_fault", ({"name": "hang", "function": "order"},))[0] == mt5.RES_E_INVALID_PARAMS


def test_who_hangs_holds_nobody_up_and_is_let_go(trader: Trader) -> None:
    """Other clients go on meanwhile; clearing the faults hangs up on who hangs, with nothing executed."""
    terminal = trader(Faults())
    scripted(terminal, "hang")
    ended: list[type[BaseException]] = []

    def client() -> None:
        try:
            send(terminal)
        except ConnectionError as error:
            ended.append(type(error))

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    while not terminal.handle("fault_counts", ())[2]:
        time.sleep(0.001)
    assert send(terminal)[0] == mt5.RES_S_OK
    assert not ended
    terminal.handle("clear_faults", ())
    thread.join(30)
    assert (ended, deals(terminal)) == ([ConnectionError], 1)


def test_latency_is_the_callers_own(trader: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four clients wait for their orders at the same time, each for as long as was said, give or take half of it."""
    meets, waits_s = threading.Barrier(4), list[float]()

    def sleep(seconds: float) -> None:
        waits_s.append(seconds)
        meets.wait(30)

    monkeypatch.setattr("pc_agent.twin.faults.time", SimpleNamespace(sleep=sleep))
    terminal = trader(Faults(latency_ms=60.0))
    threads = [threading.Thread(target=send, args=(terminal,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(waits_s), meets.broken) == (4, False)
    assert 0.03 <= min(waits_s) < max(waits_s) <= 0.09
    assert deals(terminal) == 4


def test_a_terminal_may_lose_its_broker_at_a_call(trader: Trader, monkeypatch: pytest.MonkeyPatch) -> None:
    """From that call on, for two seconds and as long as was said: nothing is executed; then all is well."""
    now = [100.0]
    monkeypatch.setattr("pc_agent.twin.terminal.time.monotonic", lambda: now[0])
    terminal = trader(Faults())
    scripted(terminal, "offline", function="symbol_info_tick", delay_s=1.0)
    assert terminal.handle("terminal_info", ())[2].connected is True
    terminal.handle("symbol_info_tick", ("EURUSD",))
    now[0] += 2.9
    assert terminal.handle("terminal_info", ())[2].connected is False
    result = send(terminal)[1]
    assert result is not None
    assert (result.retcode, deals(terminal)) == (mt5.TRADE_RETCODE_CONNECTION, 0)
    now[0] += 0.2
    assert terminal.handle("terminal_info", ())[2].connected is True


def test_a_broker_may_correct_its_history_at_a_call(trader: Trader) -> None:
    """One tick of some symbol is a point dearer; which, goes by the seed."""
    terminal = trader(Faults(seed=2))
    asked = [("copy_ticks_from", (symbol, 0, 10, mt5.COPY_TICKS_ALL)) for symbol in ("EURUSD", "GBPUSD")]
    before = [terminal.handle(*call)[2] for call in asked]
    scripted(terminal, "correction", function="account_info")
    terminal.handle("account_info", ())
    after = [np.frombuffer(terminal.handle(*call)[2], TICK_DTYPE) for call in asked]
    steps = (new["bid"] - np.frombuffer(old, TICK_DTYPE)["bid"] for new, old in zip(after, before, strict=True))
    assert sorted(round(step.sum() * 10**5) for step in steps) == [0, 1]


def test_chance_goes_by_the_seed() -> None:
    """The same seed, the same faults; each about as often as it was said."""
    chances = parse_chances(["requote=0.2", "executed-timeout=0.1", "positions_get:none=0.5"])

    def luck(seed: int) -> tuple[list[object], Counter[str]]:
        plan = FaultPlan(chances, seed)
        return [plan.draw("order_send", "EURUSD") for _ in range(2000)], plan.befell

    (first, befell), (again, _), (other, _) = luck(3), luck(3), luck(4)
    assert first == again != other
    assert 330 < befell["requote"] < 470
    assert 150 < befell["executed-timeout"] < 250
    assert set(befell) == {"requote", "executed-timeout"}


def test_clearing_ends_chance_and_script() -> None:
    """And the next script holds again."""
    plan = FaultPlan(parse_chances(["*:slow=1"]), 1)
    plan.script(Scripted("requote"))
    plan.clear()
    assert plan.draw("order_send", "") == fault_named("requote").__class__()
    plan.script(Scripted("requote", delay_s=2.0))
    fault = plan.draw("order_send", "")
    assert (fault.before.retcode, fault.before.delay_s) == (10004, 2.0)


@pytest.mark.parametrize(
    ("chances", "said"),
    [
        (["requote"], "is not FAULT=PROBABILITY"),
        (["requote=1.5"], "is not FAULT=PROBABILITY"),
        (["requote=0.1.2"], "is not FAULT=PROBABILITY"),
        (["requotes=0.1"], "there is no fault 'requotes'"),
        (["sleep:requote=0.1"], "clients call no 'sleep'"),
        (["requote=0.6", "*:slow=0.6"], "the faults of order_send have a probability of 1.2"),
    ],
)
def test_chances_that_are_none_are_refused(chances: list[str], said: str) -> None:
    """With what is wrong."""
    with pytest.raises(FaultError, match=said.replace("*", r"\*")):
        parse_chances(chances)
