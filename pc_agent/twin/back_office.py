"""What those who run the broker and sit at the terminal can change while it runs; a new start forgets it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from pc_agent.twin import constants as mt5
from pc_agent.twin.dealer import Dealer
from pc_agent.twin.domain.sessions import week
from pc_agent.twin.term_reader import TermsError, read_terms
from pc_agent.twin.wire import TerminalError


@dataclass
class TerminalState:
    """The terminal's own switches and its line to the broker, named as in TerminalInfo."""

    connected: bool = True
    trade_allowed: bool = True  # the AutoTrading button
    tradeapi_disabled: bool = False
    ping_us: int = 500
    retransmission: float = 0.0


_STATES = {field.name for field in fields(TerminalState)}
_ACCOUNT = {"trade_allowed", "trade_expert"}


class BackOffice:
    """Called under the terminal's lock."""

    def __init__(self, dealer: Dealer, state: TerminalState) -> None:
        self._dealer = dealer
        self._state = state
        functions: tuple[Callable[..., Any], ...] = (
            self.symbol_terms, self.change_terms, self.change_terminal, self.change_account,
        )  # fmt: skip
        self.functions = {function.__name__: function for function in functions}

    def symbol_terms(self, symbol: str) -> dict[str, Any]:
        """The symbol's terms by name, and `is_open`: whether one of its sessions is on."""
        self._require_symbol(symbol)
        terms = self._dealer.quotes.terms[symbol]
        return {**asdict(terms), "is_open": week(terms.sessions).is_open(self._dealer.now_msc())}

    def change_terms(self, symbol: str, changes: dict[str, Any]) -> None:
        """Fields of domain.terms.Terms, as a broker changes them overnight."""
        self._require_symbol(symbol)
        try:
            self._dealer.quotes.terms[symbol] = read_terms(changes, self._dealer.quotes.terms[symbol])
        except TermsError as error:
            raise _refused(str(error)) from None

    def change_terminal(self, changes: dict[str, Any]) -> None:
        """Fields of TerminalState: the button, the line to the broker."""
        _require_known(changes, _STATES)
        for name, value in changes.items():
            setattr(self._state, name, value)

    def change_account(self, changes: dict[str, bool]) -> None:
        """`trade_allowed`, `trade_expert`: what the broker lets the account do."""
        _require_known(changes, _ACCOUNT)
        self._dealer.permit(**changes)

    def _require_symbol(self, symbol: str) -> None:
        if symbol not in self._dealer.quotes.terms:
            raise _refused(f"there is no symbol {symbol}")


def _require_known(changes: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(changes) - known):
        raise _refused(f"{', '.join(unknown)} can not be changed; known are {', '.join(sorted(known))}")


def _refused(why: str) -> TerminalError:
    return TerminalError(mt5.RES_E_INVALID_PARAMS, why)
