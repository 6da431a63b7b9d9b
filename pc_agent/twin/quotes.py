"""Every symbol that is traded: its nature, its terms, its newest quote, and what its currencies are worth."""

from collections.abc import Mapping

from pc_agent.twin.domain.instrument import Instrument, MarginRule, Quote, instrument, rate
from pc_agent.twin.domain.terms import AccountTerms, Terms
from pc_agent.twin.market import Market


class Quotes:
    """Rates are those of the moment in which they are asked for."""

    def __init__(self, market: Market, account: AccountTerms, terms: Mapping[str, Terms]) -> None:
        """Symbols without `terms` have those that Terms begins with."""
        self._market = market
        self._account = account
        self.instruments: Mapping[str, Instrument] = {
            symbol: instrument(symbol, series.digits, account.currency) for symbol, series in market.series.items()
        }
        self.terms: dict[str, Terms] = {symbol: terms.get(symbol, Terms()) for symbol in market.series}
        self._by_pair = {(one.base, one.quote): symbol for symbol, one in self.instruments.items()}

    def newest(self, symbol: str) -> Quote | None:
        """Newest bid and ask; None before the first tick, and of what the terminal does not show."""
        if symbol not in self._market.symbols:
            return None
        newest = self._market.newest(symbol)
        return (float(newest["bid"][0]), float(newest["ask"][0])) if len(newest) else None

    def quote_rate(self, what: Instrument) -> float | None:
        """What one unit of the symbol's quote currency is worth in the account's."""
        if what.is_based_on(self._account.currency) and (own := self.newest(what.name)) is not None:
            return 1.0 / own[1]
        return rate(what.quote, self._account.currency, self._pair)

    def base_rate(self, what: Instrument) -> float | None:
        """What one unit of the symbol's base currency is worth in the account's."""
        own, quote_rate = self.newest(what.name), self.quote_rate(what)
        known = rate(what.base, self._account.currency, self._pair)
        if known is not None or own is None or quote_rate is None:
            return known
        return own[0] * quote_rate

    def margin_rule(self, what: Instrument, quote_rate: float) -> MarginRule:
        terms = self.terms[what.name]
        share = 1.0 if terms.margin_hedged is None else terms.margin_hedged / what.contract_size
        return MarginRule(
            what, self._account.currency, self._account.leverage, quote_rate, share, terms.margin_hedged_use_leg
        )

    def _pair(self, base: str, quote: str) -> Quote | None:
        symbol = self._by_pair.get((base, quote))
        return self.newest(symbol) if symbol is not None else None
