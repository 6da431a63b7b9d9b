"""What a terminal's symbols are to the worker: those wanted, those shown, those that come, go or are renamed."""

from collections.abc import Callable
from itertools import repeat

import pytest

from pc_agent import mt5_worker
from pc_agent.domain.symbol_names import NameRules
from pc_agent.terminal import mt5_symbols
from pc_agent.terminal.messages import (
    Adjust,
    Connected,
    Disconnected,
    SymbolsShown,
)
from tests.unit.pc_agent.terminals import FakeMt5, ticks_at
from tests.unit.pc_agent.worker_turns import FROM, Script, ask, run


@pytest.fixture(autouse=True)
def _fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look is at all symbols, and the next one follows on it, however slow the machine."""
    monkeypatch.setattr(mt5_symbols, "_STEP_SHARE", 0)
    monkeypatch.setattr(mt5_symbols, "_STEP_NS", 10**12)


def test_symbols_that_are_shown_or_hidden_are_told() -> None:
    """Once, when they change."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at([FROM]))
    mt5.shown = {"EURUSD"}
    pipe = run(
        mt5,
        lambda _: None,
        lambda _: mt5.shown.add("GBPUSD"),
        lambda _: None,
        lambda _: mt5.shown.remove("EURUSD"),
        lambda _: None,
    )
    assert [[s.symbol for s in event.symbols] for event in pipe.said(Connected)] == [["EURUSD"]]
    shown = [{s.symbol for s in event.symbols} for event in pipe.said(SymbolsShown)]
    assert shown == [{"EURUSD", "GBPUSD"}, {"GBPUSD"}]


def test_symbols_that_a_setting_names_are_not_looked_for() -> None:
    """What the terminal shows besides does not matter."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))
    run(mt5, lambda _: None, lambda _: mt5.shown.clear(), lambda _: None, symbols=("EURUSD",))
    assert mt5.calls.count("symbols_get") == 1


def test_a_brokers_new_symbols_are_listed_read_and_told_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands at once are read only when the terminal is joined: an order would wait for all of them."""
    for name, value in {"_STEP_NS": 0, "_LISTED": 2, "_TOLD": 3}.items():
        monkeypatch.setattr(mt5_symbols, name, value)
    ticks = ticks_at([FROM])
    mt5 = FakeMt5(**dict.fromkeys(("EURUSD", "EURGBP", "GBPUSD", "USDJPY"), ticks))

    def add(_: Script) -> None:
        mt5.ticks |= dict.fromkeys(("EURSEK", "#X"), ticks)
        mt5.shown |= {"EURSEK", "#X"}

    pipe = run(mt5, add, *[lambda _: None] * 20)
    parts = [(len(event.symbols), event.more) for event in pipe.said(SymbolsShown)]
    assert parts == [(3, True), (3, False)]
    assert {one.symbol for event in pipe.said(SymbolsShown) for one in event.symbols} == mt5.ticks.keys()
    assert (mt5.calls.count("symbols_get"), mt5.most_listed) == (1, 3)


def test_a_terminal_that_does_not_list_by_groups_is_asked_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late is better than not at all; it is not asked again until its number changes."""
    monkeypatch.setattr(mt5_symbols, "groups_of", lambda *_: ["nothing"])
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at([FROM]))
    pipe = run(mt5, lambda _: mt5.ticks.pop("GBPUSD"), *[lambda _: None] * 5)
    assert [[one.symbol for one in event.symbols] for event in pipe.said(SymbolsShown)] == [["EURUSD"]]
    assert mt5.calls.count("symbols_get") == 2


def test_a_name_that_means_another_symbol_now_is_told_before_that_is_looked_at() -> None:
    """EURUSD was EURUSD.r until the broker had a EURUSD: nobody may hold the one's facts for the other's."""
    mt5 = FakeMt5(**{"EURUSD.r": ticks_at([FROM])})

    def add(_: Script) -> None:
        mt5.ticks["EURUSD"] = ticks_at([FROM])
        mt5.shown.add("EURUSD")

    pipe = run(mt5, add, *[lambda _: None] * 5, names=NameRules(suffixes=(".r",)))
    told = [{(one.symbol, one.terminal_symbol) for one in event.symbols} for event in pipe.said(SymbolsShown)]
    assert told == [{("EURUSD.r", "EURUSD.r")}, {("EURUSD.r", "EURUSD.r"), ("EURUSD", "EURUSD")}]


def test_a_wanted_symbol_that_the_terminal_has_not_got_takes_no_other_away() -> None:
    """It is told of once; a person who hides one that is wanted sees it shown again."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]), GBPUSD=ticks_at([FROM]))
    change = ask(Adjust(("GBPUSD", "NONE"), 30.0, 500, "error"))
    pipe = run(mt5, change, *[lambda _: None] * 5, lambda _: mt5.shown.clear(), *[lambda _: None] * 3)
    assert carried(pipe) == [({"EURUSD", "GBPUSD"}, ()), ({"GBPUSD"}, ("NONE",))]
    assert mt5.shown == {"GBPUSD"}


def carried(pipe: Script) -> list[tuple[set[str], tuple[str, ...]]]:
    """What the terminal carries each time that it is told, and what is missed; it is never away."""
    assert not pipe.said(Disconnected)
    told = [event for event in pipe.events if isinstance(event, Connected | SymbolsShown)]
    return [({one.symbol for one in event.symbols}, event.unknown) for event in told]


def test_a_terminal_is_joined_with_what_it_has_and_what_comes_is_taken_up() -> None:
    """None of what is wanted at first, then one, then the other; the first is delisted and comes back."""
    mt5, ticks = FakeMt5(), ticks_at([FROM])

    def lists(name: str) -> list[Callable[[Script], object]]:
        return [lambda _: mt5.ticks.update({name: ticks}), *[lambda _: None] * 3]

    delists = [lambda _: mt5.ticks.pop("EURUSD"), *[lambda _: None] * 3]
    pipe = run(
        mt5, *lists("EURUSD"), *lists("GBPUSD"), *delists, *lists("EURUSD"), symbols=("EURUSD", "GBPUSD", "TYPO")
    )
    both = {"EURUSD", "GBPUSD"}
    assert carried(pipe) == [
        (set(), ("EURUSD", "GBPUSD", "TYPO")),
        ({"EURUSD"}, ("GBPUSD", "TYPO")),
        (both, ("TYPO",)),
        ({"GBPUSD"}, ("EURUSD", "TYPO")),
        (both, ("TYPO",)),
    ]
    assert mt5.shown == both


def test_a_symbol_that_the_broker_calls_otherwise_now_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has as many as before."""
    monkeypatch.setattr(mt5_symbols, "_LIST_S", 0)
    mt5 = FakeMt5(**{"EURUSD.r": ticks_at([FROM])})

    def rename(_: Script) -> None:
        mt5.ticks["EURUSD.i"] = mt5.ticks.pop("EURUSD.r")

    names = NameRules(suffixes=(".r", ".i"))
    pipe = run(mt5, rename, *[lambda _: None] * 5, symbols=("EURUSD",), names=names)
    known = ({"EURUSD"}, ())
    assert carried(pipe) == [known, (set(), ("EURUSD (EURUSD.r here)",)), known]


def test_a_name_that_the_settings_give_to_no_symbol_is_missed() -> None:
    """A symbol that is hidden is none of these."""
    mt5 = FakeMt5(**{"EURUSD.r": ticks_at([FROM]), "GBPUSD.r": ticks_at([FROM])})
    mt5.shown = {"EURUSD.r"}
    names = NameRules({"EURUSD": "EURUSD.x", "GBPUSD": "GBPUSD.r"})
    pipe = run(mt5, lambda _: mt5.ticks.update({"EURUSD.x": ticks_at([FROM])}), *[lambda _: None] * 5, names=names)
    assert carried(pipe) == [({"EURUSD.r"}, ("EURUSD (EURUSD.x here)",)), ({"EURUSD.r"}, ())]


def test_a_terminal_that_goes_while_symbols_are_shown_has_not_lost_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is away: nobody is told to correct a setting."""
    monkeypatch.setattr(mt5_worker, "backoff", lambda *_: repeat(0.0))
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))

    def goes(*_: object) -> bool:
        mt5.gone, mt5.back_after, mt5.shown = True, 1, {"EURUSD"}
        return False

    mt5.shown = set()
    monkeypatch.setattr(mt5, "symbol_select", goes)
    pipe = run(mt5, symbols=("EURUSD",))
    assert "symbol_select EURUSD" in pipe.said(Disconnected)[0].reason
    assert [event.unknown for event in pipe.said(Connected)] == [()]
