"""The live settings that are in force, and the news that they changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mesh.config import Settings
from pc_agent.domain.live_settings import LiveSettings

LIVE_NAMES = tuple(field.name for field in fields(LiveSettings))


def live_settings(settings: Settings) -> LiveSettings:
    """Of the agent's settings, those that may change while it runs."""
    values: Mapping[str, Any] = {name: getattr(settings, name) for name in LIVE_NAMES}
    return LiveSettings(**values)


class Live:
    """Readers look at `now` each time anew; who must act on a change waits for it."""

    def __init__(self, settings: LiveSettings) -> None:
        self.now = settings
        self._changed = asyncio.Event()

    def set(self, settings: LiveSettings) -> None:
        """Put others in force."""
        if settings != self.now:
            self.now = settings
            self._changed.set()
            self._changed = asyncio.Event()

    async def changed(self, known: LiveSettings) -> LiveSettings:
        """The settings in force, as soon as they are others than the known ones."""
        while self.now == known:
            await self._changed.wait()
        return self.now
