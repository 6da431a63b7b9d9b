"""A terminal's symbols and what it says of them, through a module shaped like the MetaTrader5 package."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pc_agent.domain.symbol_groups import groups_of
from pc_agent.domain.symbol_names import SymbolNames
from pc_agent.domain.symbols import DISABLED, SymbolFacts
from pc_agent.terminal.messages import SymbolsShown
from pc_agent.terminal.mt5_session import answered, needed

# Orders wait behind a step; steps take at most one part in so many of the worker's time.
_STEP_NS = 1_000_000
_STEP_SHARE = 10
# So many symbols are listed at once, and so many are told in one message.
_LISTED, _TOLD = 50, 200
# Margins and tick values move with the market: they are told anew after so long even where nothing else changed.
_TELL_S = 180.0
# What is missed may be there by another name, though the broker has as many symbols as before.
_LIST_S = 60.0


class SymbolBook:
    """The broker's symbols: which of them the terminal carries for us, and their facts.

    Thousands of symbols take seconds to be read at once, in which no order is executed. So that is done only when the
    terminal has just been joined. From then on they are looked at one after another, a millisecond at a time, each
    about every `look_s`; they are listed anew, a part at a time, when the broker has others.
    """

    def __init__(self, mt5: Any, names: SymbolNames, wanted: tuple[str, ...], look_s: float) -> None:
        """`wanted`: what to carry, by the mesh's names; none: all that the terminal shows."""
        self._mt5 = mt5
        self._names = names
        self._wanted = wanted
        self._look_s = look_s
        # What the broker has, and how many it said that they were.
        self._every: list[str] = []
        self._total = 0
        self._listed_at = 0.0
        # Of what the settings name, what the terminal has not got.
        self.unknown: tuple[str, ...] = ()
        self._facts: dict[str, SymbolFacts] = {}  # by the broker's name
        self._told: dict[str, SymbolFacts] = {}
        self._told_at = self._next_round = self._next_step = 0.0
        # Still to be listed, and what was; still to be looked at; still to be told.
        self._groups: list[str] = []
        self._listed: dict[str, None] = {}
        self._round: list[str] = []
        self._untold: deque[SymbolsShown] = deque()
        self._is_news = False

    def read_all(self) -> tuple[SymbolFacts, ...]:
        """All that is carried; symbols that are wanted are shown from here on.

        Raises:
            TerminalGoneError: it does not answer.
        """
        self._groups, self._round = [], []
        self._untold.clear()
        self._total = needed(self._mt5, self._mt5.symbols_total(), "symbols_total")
        infos = {info.name: info for info in needed(self._mt5, self._mt5.symbols_get(), "symbols_get")}
        self._learn(infos)
        candidates = [infos[name] for name in self._wanted_names() if name in infos] if self._wanted else infos.values()
        self._facts = {info.name: self._facts_of(info) for info in candidates if self._is_shown(info)}
        self._note_unknown()
        return self._tell()

    def carry(self, wanted: tuple[str, ...]) -> None:
        """These from now on; told with the next look at all of them."""
        if wanted != self._wanted:
            self._wanted = wanted
            self.refresh()

    def refresh(self) -> None:
        """Something was not as it is known here: look at all of them, and tell."""
        self._round, self._told = [], {}
        self._next_round = self._next_step = 0.0

    def look(self) -> SymbolsShown | None:
        """A step, when it is time for one; at the end of a round what is to be told, a part at each look.

        Raises:
            TerminalGoneError: the terminal does not answer.
        """
        if self._untold:
            return self._untold.popleft()
        now = time.monotonic()
        is_between = not (self._groups or self._round)
        if now < self._next_step or (is_between and now < self._next_round):
            return None
        if is_between:
            self._begin_round()
        if self._groups:
            self._list_group()
        else:
            self._step()
        self._next_step = now + _STEP_SHARE * (time.monotonic() - now)
        if not (self._groups or self._round):
            self._end_round(now)
        return self._untold.popleft() if self._untold else None

    def _begin_round(self) -> None:
        total = needed(self._mt5, self._mt5.symbols_total(), "symbols_total")
        is_list_old = self.unknown and time.monotonic() - self._listed_at > _LIST_S
        if total == self._total and not is_list_old:
            self._fill_round()
        else:
            self._total, self._groups, self._listed = total, groups_of(self._every, _LISTED), {}

    def _list_group(self) -> None:
        group = self._groups.pop()
        infos = answered(self._mt5, self._mt5.symbols_get(group=group), f"symbols_get {group}")
        self._listed |= dict.fromkeys(info.name for info in infos or ())
        if self._groups:
            return
        if len(self._listed) < self._total:  # as no terminal should answer; then better late than not at all
            infos = needed(self._mt5, self._mt5.symbols_get(), "symbols_get")
            self._listed = dict.fromkeys(info.name for info in infos)
        self._learn(self._listed)
        self._rename()
        self._fill_round()

    def _learn(self, names: Iterable[str]) -> None:
        self._every, self._listed_at = list(names), time.monotonic()
        self._names.learn(self._every)

    def _rename(self) -> None:
        """Another symbol may have come by a name: what that means here, the agent must know at once."""
        renamed = {name: mesh for name, one in self._facts.items() if (mesh := self._names.mesh(name)) != one.symbol}
        if renamed:
            self._facts |= {name: replace(self._facts[name], symbol=mesh) for name, mesh in renamed.items()}
            self._tell_in_parts()

    def _fill_round(self) -> None:
        self._round = self._wanted_names() or list(self._every)
        for name in self._facts.keys() - set(self._round):
            self._drop(name)

    def _wanted_names(self) -> list[str]:
        """As the broker calls them."""
        return [self._names.broker(name) for name in self._wanted]

    def _step(self) -> None:
        until = time.monotonic_ns() + _STEP_NS
        while self._round:
            name = self._round.pop()
            info = answered(self._mt5, self._mt5.symbol_info(name), f"symbol_info {name}")
            if info is not None and self._is_shown(info):
                self._take(name, self._facts_of(info))
            else:
                self._drop(name)
            if time.monotonic_ns() > until:
                return

    def _is_shown(self, info: Any) -> bool:
        """What is wanted is shown again where a person has hidden it."""
        if info.select or not self._wanted:
            return bool(info.select)
        shown = self._mt5.symbol_select(info.name, True) or None
        return answered(self._mt5, shown, f"symbol_select {info.name}") is not None

    def _take(self, name: str, facts: SymbolFacts) -> None:
        self._facts[name], told = facts, self._told.get(name)
        self._is_news = self._is_news or told is None or _rules(facts) != _rules(told)

    def _drop(self, name: str) -> None:
        self._is_news = self._facts.pop(name, None) is not None or self._is_news

    def _note_unknown(self) -> None:
        """A name that the settings only give is missed where no symbol bears it, shown or not."""
        named, known = (self._wanted, self._facts) if self._wanted else (self._names.given, self._every)
        unknown = tuple(self._title(name) for name in named if self._names.broker(name) not in known)
        self._is_news = self._is_news or unknown != self.unknown
        self.unknown = unknown

    def _title(self, name: str) -> str:
        broker = self._names.broker(name)
        return name if broker == name else f"{name} ({broker} here)"

    def _end_round(self, now: float) -> None:
        self._next_round = now + self._look_s
        self._note_unknown()
        if self._is_news or now - self._told_at > _TELL_S:
            self._tell_in_parts()

    def _tell_in_parts(self) -> None:
        told = self._tell()
        parts = [told[at : at + _TOLD] for at in range(0, len(told), _TOLD)] or [()]
        self._untold.extend(SymbolsShown(part, self.unknown, part is not parts[-1]) for part in parts)

    def _tell(self) -> tuple[SymbolFacts, ...]:
        self._is_news = False
        self._told, self._told_at = dict(self._facts), time.monotonic()
        self._next_round = self._told_at + self._look_s
        return tuple(self._told.values())

    def _facts_of(self, info: Any) -> SymbolFacts:
        tick = answered(self._mt5, self._mt5.symbol_info_tick(info.name), "symbol_info_tick")
        return SymbolFacts(
            symbol=self._names.mesh(info.name),
            terminal_symbol=info.name,
            digits=info.digits,
            point=info.point,
            tick_size=info.trade_tick_size,
            tick_value=info.trade_tick_value,
            contract_size=info.trade_contract_size,
            volume_min=info.volume_min,
            volume_max=info.volume_max,
            volume_step=info.volume_step,
            volume_limit=info.volume_limit,
            stops_level=info.trade_stops_level,
            freeze_level=info.trade_freeze_level,
            trade_mode=info.trade_mode,
            execution_mode=info.trade_exemode,
            filling_mode=info.filling_mode,
            expiration_mode=info.expiration_mode,
            order_mode=info.order_mode,
            margin_per_lot=self._margin_of(info, tick),
            currency_base=info.currency_base,
            currency_profit=info.currency_profit,
            currency_margin=info.currency_margin,
            spread_float=bool(info.spread_float),
            newest_msc=tick.time_msc if tick else 0,
        )

    def _margin_of(self, info: Any, tick: Any) -> float:
        """To buy one lot; asked anew when what is known is old."""
        known = self._told.get(info.name)
        if known is not None and known.margin_per_lot and time.monotonic() - self._told_at < _TELL_S:
            return known.margin_per_lot
        if tick is None or not tick.ask or info.trade_mode == DISABLED:
            return 0.0
        mt5 = self._mt5
        margin = mt5.order_calc_margin(mt5.ORDER_TYPE_BUY, info.name, 1.0, float(tick.ask))
        return answered(mt5, margin, "order_calc_margin") or 0.0


def _rules(facts: SymbolFacts) -> SymbolFacts:
    """Without what moves with the market."""
    return replace(facts, newest_msc=0, tick_value=0.0, margin_per_lot=0.0)
