"""The person's preferences as they are now, for who has to obey them."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from mesh.clock import unix_ms
from mesh.log import get_logger
from pc_agent.domain.reference import Preferences
from pc_agent.store.store import Store

log = get_logger(__name__)


class LivePreferences:
    """One person's preferences, from the store; a change is in force at once."""

    def __init__(self, store: Store, user: UUID, by: str) -> None:
        self._store = store
        self._user = user
        self._by = by
        self._now = Preferences(user)
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
        """Read them. Where the store was lost, trades wait for the person's word until it is known what he wants."""
        if self._store.damaged:
            await self._store.assume(Preferences(self._user, trade_confirmation=True), unix_ms(), self._by)
        await self.look()

    async def look(self) -> None:
        """Take what the store has, after a sync."""
        self._take(await self._store.preferences(self._user))

    async def set(self, values: Mapping[str, Any]) -> Preferences:
        """Change the fields that `values` names."""
        self._take(await self._store.prefer(self._user, values, unix_ms(), self._by))
        return self._now

    def _take(self, preferences: Preferences) -> None:
        if preferences != self._now:
            self._now = preferences
            log.info(
                "preferences",
                trade_confirmation=preferences.trade_confirmation,
                auto_close_trades=preferences.auto_close_trades,
            )
            self._changed.set()
            self._changed = asyncio.Event()
