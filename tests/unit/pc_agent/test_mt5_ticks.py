"""What the worker reads, and what it does not let out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from mesh.market import BEFORE_FIRST, TickId
from mesh.market.batch import COLUMNS
from mesh.market.digest import digests
from pc_agent.domain import page_size
from pc_agent.domain.history import Asked, DigestSum, Question
from pc_agent.domain.symbol_names import NameRules, SymbolNames
from pc_agent.domain.tick_cursor import PAGE_TICKS
from pc_agent.terminal import mt5_ticks
from pc_agent.terminal.messages import (
    AccountFacts,
    HistoryFound,
    HistoryPage,
    ReadHistory,
    Reading,
    ReadNewest,
    TicksRead,
)
from pc_agent.terminal.mt5_session import BrokerLink, TerminalGoneError
from pc_agent.terminal.mt5_ticks import History, TickReaders
from pc_agent.terminal.quote_ages import QuoteAges
from tests.unit.pc_agent.terminals import FakeMt5, columns_of, ids_of, ticks_at

HOUR = 3_600_000
FROM = 1_580_511_600_000  # 2020-01-31T23:00:00Z
NAMES = SymbolNames(NameRules())


@pytest.fixture(autouse=True)
def _fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are as large as they get, however slow the machine."""
    monkeypatch.setattr(page_size, "READ_NS", 10**12)


def joined(mt5: FakeMt5) -> BrokerLink:
    broker = BrokerLink(mt5)
    broker.joined(AccountFacts(*mt5.account, 0))
    return broker


def history(count: int = 30_000) -> Any:
    """Two hours with bursts, and a second that is denser than a page."""
    rng = np.random.default_rng(1)
    steps = rng.choice([0, 0, 1, 50, 700], count)
    steps[9_000 : 9_000 + 2 * PAGE_TICKS] = 0
    return (
        ticks_at(FROM + np.cumsum(steps) % (2 * HOUR)) if steps.sum() < 2 * HOUR else ticks_at(FROM + np.cumsum(steps))
    )


def history_of(mt5: FakeMt5) -> History:
    return History(mt5, NAMES, joined(mt5), lambda: None)


def pages(mt5: FakeMt5, ask: ReadHistory) -> list[HistoryPage]:
    """All that follow on `ask`."""
    history, found = history_of(mt5), [HistoryPage(0, ask.after, ended=False)]
    while not found[-1].ended:
        found.append(history.read(replace(ask, after=found[-1].last)))
    return found[1:]


@pytest.mark.parametrize("switch", ["during the read", "before the next"])
def test_ticks_of_another_account_are_not_let_out(switch: str) -> None:
    """A person may log the terminal in elsewhere at any moment: what was read then is dropped, not stored as ours."""
    mt5 = FakeMt5(EURUSD=ticks_at(FROM + np.arange(10)))
    sent: list[Any] = []
    readers = TickReaders(mt5, NAMES, joined(mt5), QuoteAges(), sent.append)
    readers.steer(Reading("EURUSD", 1, BEFORE_FIRST, 1000))
    if switch == "before the next":
        readers.read_round(lambda: None)
        assert [len(event.columns["time_msc"]) // 8 for event in sent if isinstance(event, TicksRead)] == [10]
        mt5.ticks["EURUSD"] = ticks_at(FROM + np.arange(20))
    sent.clear()

    def log_in_elsewhere() -> None:
        mt5.account = ("another broker", 7)

    mt5.during_copy = log_in_elsewhere
    with pytest.raises(TerminalGoneError, match="7 at another broker"):
        readers.read_round(lambda: None)
    readers.drop()
    mt5.account, mt5.during_copy = ("broker", 42), lambda: None
    readers.read_round(lambda: None)
    assert sent == []  # nothing is open until the agent asks anew


def test_what_waits_for_the_account_to_be_seen_is_bounded() -> None:
    """However many symbols have much to read, no more than two pages wait, and the account is not asked for each."""
    mt5 = FakeMt5(**{f"S{n}": ticks_at(FROM + np.arange(3 * PAGE_TICKS)) for n in range(8)})
    held: list[int] = []
    sent: list[Any] = []
    readers = TickReaders(mt5, NAMES, joined(mt5), QuoteAges(), sent.append)
    for symbol in mt5.ticks:
        readers.steer(Reading(symbol, 1, BEFORE_FIRST, 32_000))

    def note() -> None:
        read = PAGE_TICKS * sum(call.startswith("copy") for call in mt5.calls)
        held.append(read - sum(len(event.columns["flags"]) // 4 for event in sent if isinstance(event, TicksRead)))

    assert readers.read_round(note)
    assert max(held) <= PAGE_TICKS
    assert len([event for event in sent if isinstance(event, HistoryFound)]) == 8


def test_the_pages_of_a_range_are_its_ticks_with_their_identities() -> None:
    """Nothing before or behind it, each tick once, a second denser than a page too; at most 4,000 at a time."""
    ticks = history()
    mt5 = FakeMt5(EURUSD=ticks)
    end = FROM + HOUR // 2
    found = pages(mt5, ReadHistory(0, "EURUSD", TickId(FROM - 1, 2**32 - 1), FROM, end))
    parts = [page.columns for page in found if page.columns]
    joined_up = {
        name: np.concatenate([np.frombuffer(p[name], dtype) for p in parts]) for name, dtype in COLUMNS.items()
    }
    wanted = ticks[ticks["time_msc"] < end]
    assert 2 * PAGE_TICKS < len(wanted) < len(ticks)
    got = [TickId(int(t), int(o)) for t, o in zip(joined_up["time_msc"], joined_up["ordinal"], strict=True)]
    assert got == ids_of(wanted)
    assert joined_up["bid"].tolist() == wanted["bid"].tolist()
    assert max(len(page.columns["flags"]) // 4 for page in found if page.columns) <= 4_000


def test_the_pages_digests_add_up() -> None:
    """To those of all ticks of the range."""
    ticks = history()
    asked = Asked(1, "EURUSD", Question.DIGEST, FROM, FROM + 4 * HOUR, HOUR)
    total = DigestSum(asked)
    for page in pages(FakeMt5(EURUSD=ticks), ReadHistory(0, "EURUSD", asked.before, FROM, asked.to_msc, HOUR)):
        total.add(page.digests)
    assert total.digests() == digests(columns_of(ticks), FROM, asked.to_msc, HOUR)
    assert sum(digest.count for digest in total.digests()) == len(ticks)


def test_a_page_of_another_account_is_no_answer() -> None:
    """The question is refused, and whoever asked asks again."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM]))
    history = history_of(mt5)
    mt5.account = ("broker", 43)
    with pytest.raises(TerminalGoneError):
        history.read(ReadHistory(1, "EURUSD", BEFORE_FIRST, 0, FROM + HOUR))
    with pytest.raises(TerminalGoneError):
        history.newest(ReadNewest(1, "EURUSD"))


def test_the_newest_tick_has_its_place_in_its_millisecond() -> None:
    """As live reading would name it; 0/0 where there is none."""
    mt5 = FakeMt5(EURUSD=ticks_at([FROM, FROM + 5, FROM + 5, FROM + 5]), GBPUSD=ticks_at([]))
    history = history_of(mt5)
    assert history.newest(ReadNewest(1, "EURUSD")).newest == TickId(FROM + 5, 2)
    assert history.newest(ReadNewest(2, "GBPUSD")).newest == BEFORE_FIRST


def test_ticks_of_an_impossible_time_do_not_stop_a_symbol() -> None:
    """They are refused and told, once and then as they double; the others go on."""
    times = FROM + np.arange(100)
    times[[10, 20, 30, 40]] = [0, -5, 2**61, 4_102_444_800_000]
    mt5 = FakeMt5(EURUSD=ticks_at(times))
    mt5.ticks["EURUSD"]["time"] = FROM // 1000
    sent: list[Any] = []
    readers = TickReaders(mt5, NAMES, joined(mt5), QuoteAges(), sent.append)
    readers.steer(Reading("EURUSD", 1, BEFORE_FIRST, 1000))
    with capture_logs() as logs:
        readers.read_round(lambda: None)
        readers.read_round(lambda: None)
    assert sum(len(event.columns["flags"]) // 4 for event in sent if isinstance(event, TicksRead)) == 96
    assert [(log["symbol"], log["ticks"]) for log in logs] == [("EURUSD", 4)]


class SlowMt5(FakeMt5):
    """Has old ticks only when they were asked for `loads_after` times; till then says that there are none."""

    loads_after = 3

    def copy_ticks_from(self, symbol: str, since: Any, count: int, flags: int) -> Any:
        page = super().copy_ticks_from(symbol, since, count, flags)
        self.loads_after -= 1
        return page[:0] if self.loads_after >= 0 else page


def test_no_old_ticks_is_no_answer_while_the_terminal_shows_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question about the past says that it is loaded; behind the newest tick nothing is an answer."""
    mt5 = SlowMt5(EURUSD=ticks_at(FROM + np.arange(10)))
    asked = ReadHistory(0, "EURUSD", TickId(FROM - 1, 2**32 - 1), FROM, FROM + HOUR)
    read = history_of(mt5)
    assert [read.read(asked).is_loading for _ in range(4)] == [True, True, True, False]
    mt5.loads_after = 3
    behind = read.read(ReadHistory(0, "EURUSD", TickId(FROM + HOUR, 0), FROM + HOUR, FROM + 2 * HOUR))
    assert behind == HistoryPage(0, TickId(FROM + HOUR, 0))
    mt5.loads_after, mt5.ticks = 3, {"EURUSD": ticks_at([])}
    assert read.read(asked).ended
    assert not read.read(asked).is_loading


def test_a_symbol_begins_when_its_history_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for less and less often, told once when that takes long, and read from its first tick on."""
    mt5, sent = SlowMt5(EURUSD=ticks_at(FROM + np.arange(10))), []
    monkeypatch.setattr(mt5_ticks, "LOADING_PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(mt5_ticks, "_LOADING_TOLD_S", -1.0)
    readers = TickReaders(mt5, NAMES, joined(mt5), QuoteAges(), sent.append)
    readers.steer(Reading("EURUSD", 1, BEFORE_FIRST, 1000))
    with capture_logs() as logs:
        rounds = 0
        while not sent:
            rounds += 1
            readers.read_round(lambda: None)
    assert rounds == 4
    assert [len(one.columns["flags"]) // 4 for one in sent if isinstance(one, TicksRead)] == [10]
    assert ["HISTORY_UNAVAILABLE" in line["event"] for line in logs] == [True]
    monkeypatch.setattr(mt5_ticks, "LOADING_PAUSES_S", (60.0, 60.0))
    mt5.loads_after = 3
    readers.steer(Reading("EURUSD", 2, BEFORE_FIRST, 1000))
    calls = len(mt5.calls)
    for _ in range(5):
        readers.read_round(lambda: None)
    assert len(mt5.calls) == calls + 1  # asked once
