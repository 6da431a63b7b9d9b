"""The agent's side of a worker that is not there."""

from structlog.testing import capture_logs

from mesh.market import BEFORE_FIRST
from pc_agent.terminal.messages import AccountFacts, Connected, ReadHistory, SymbolFacts, SymbolsShown
from pc_agent.terminal.worker import TerminalWorker
from tests.unit.pc_agent.terminals import terms


class Listener:
    """Hears of what there is to read."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, list[str]]] = []

    def terminal_joined(self, worker: TerminalWorker) -> None:
        self.heard.append(("joined", list(worker.symbols)))

    def terminal_changed(self, worker: TerminalWorker) -> None:
        self.heard.append(("changed", list(worker.symbols)))

    def ticks_read(self, *_: object) -> None: ...
    def history_found(self, *_: object) -> None: ...


def shown(*names: str) -> tuple[SymbolFacts, ...]:
    return tuple(SymbolFacts(name, 5, 0.01, 1.0, 0.01, 1.0, 0) for name in names)


async def test_questions_to_a_terminal_that_is_away_are_answered() -> None:
    """Whoever asks learns it at once."""
    worker = TerminalWorker(terms(), 30)
    assert (await worker.read_history(ReadHistory(0, "EURUSD", BEFORE_FIRST, 0, 1000))).error
    assert await worker.read_newest("EURUSD") == BEFORE_FIRST
    worker.connected = True  # and its process has just ended
    assert (await worker.read_history(ReadHistory(0, "EURUSD", BEFORE_FIRST, 0, 1000))).error
    assert await worker.read_newest("EURUSD") == BEFORE_FIRST


def test_what_may_be_traded_is_what_the_terminal_shows_now() -> None:
    """Symbols come and go while the agent runs."""
    worker, listener = TerminalWorker(terms(), 30), Listener()
    worker.listener = listener
    worker._on(Connected(AccountFacts("broker", 1, 0), shown("EURUSD")))
    assert worker.symbols.keys() == {"EURUSD"}
    worker._on(SymbolsShown(shown("GBPUSD"), more=True))
    assert worker.symbols.keys() == {"EURUSD"}
    worker._on(SymbolsShown(shown("USDJPY")))
    assert worker.symbols.keys() == {"GBPUSD", "USDJPY"}
    assert worker.facts
    assert worker.facts.symbols == shown("GBPUSD", "USDJPY")
    assert listener.heard == [("joined", ["EURUSD"]), ("changed", ["GBPUSD", "USDJPY"])]


def test_symbols_that_the_terminal_has_not_got_are_a_problem_of_that_terminal() -> None:
    """In its status while they are missed, in the log once, and what is to be done."""
    worker, account = TerminalWorker(terms(), 30), AccountFacts("broker", 1, 0)
    with capture_logs() as logs:
        worker._on(Connected(account, shown("EURUSD"), ("TYPO",)))
        worker._on(SymbolsShown(shown("EURUSD"), ("TYPO",)))
        (finding,) = worker.findings()
        worker._on(SymbolsShown(shown("EURUSD")))
        assert worker.findings() == ()
    assert finding.startswith("the terminal has no symbol TYPO: correct `symbols`")
    assert [log["what"] for log in logs if log["log_level"] == "warning"] == [finding]
