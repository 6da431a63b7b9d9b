"""The person's preferences as they are now, for who has to obey them."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from mesh.clock import unix_ms
from mesh.log import get_logger
from pc_agent.domain.reference import Key, Kind, Preferences
from pc_agent.store.store import Store

log = get_logger(__name__)


class LivePreferences:
    """One person's preferences, from the store; a change is in force at once.

    `shared`: they may have been set at another PC. While the database has never told of them, trades wait for the
    person's word: he may have wanted that.
    """

    def __init__(self, store: Store, user: UUID, by: str, *, shared: bool = False) -> None:
        self._store = store
        self._user = user
        self._by = by
        self._shared = shared
        self._now = Preferences(user)
        # Nobody has said whether trades are to be confirmed.
        self._unknown = False
        self._changed = asyncio.Event()

    @property
    def now(self) -> Preferences:
        return self._now

    @property
    def trade_confirmation(self) -> bool:
        return self._now.trade_confirmation

    @property
    def auto_close_trades(self) -> bool:
        return self._now.auto_close_trades

    async def changed(self, known: Preferences) -> Preferences:
        """The preferences in force, as soon as they are others than the known ones."""
        while self._now == known:
            await self._changed.wait()
        return self._now

    async def begin(self) -> None:
        """Read them. Where the store is damaged, trades wait for the person's word until it is known what he wants."""
        if self._store.damaged:
            await self._store.assume(Preferences(self._user, trade_confirmation=True), unix_ms(), self._by)
        self._unknown = self._shared and not await self._store.is_agreed(Key(Kind.PREFERENCES, self._user))
        if self._unknown:
            log.warning("trades wait for confirmation until the database has told the person's preferences")
        await self._store.preferences(self._user, self._take)

    async def exchanged(self) -> None:
        """Take what the store has after an exchange with the database."""
        await self._store.preferences(self._user, self._take_agreed)

    async def set(self, values: Mapping[str, Any]) -> Preferences:
        """Change the fields that `values` names. What is on disk is in force, also when whoever asked has given up."""
        then = self._take_agreed if "trade_confirmation" in values else self._take
        await self._store.prefer(self._user, values, unix_ms(), self._by, then)
        return self._now

    def _take_agreed(self, preferences: Preferences) -> None:
        """The database, or the person, has said whether trades are to be confirmed."""
        self._unknown = False
        self._take(preferences)

    def _take(self, preferences: Preferences) -> None:
        if self._unknown:
            preferences = replace(preferences, trade_confirmation=True)
        if preferences != self._now:
            self._now = preferences
            log.info(
                "preferences",
                trade_confirmation=preferences.trade_confirmation,
                auto_close_trades=preferences.auto_close_trades,
            )
            self._changed.set()
            self._changed = asyncio.Event()
