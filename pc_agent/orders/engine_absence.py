"""Since when an account's engine is gone: restarts of the agent do not begin that anew."""

import time
from collections.abc import Callable

from mesh.clock import unix_ns
from pc_agent.domain.dead_man import Noted
from pc_agent.domain.live_settings import LiveSettings
from pc_agent.orders.safety_file import Remembered

# One that lasts is written so often.
_NOTE_S = 10.0


class EngineAbsence:
    """One account's; `save` writes what is `known`."""

    def __init__(
        self,
        known: Remembered,
        save: Callable[[], None],
        live: Callable[[], LiveSettings],
        engine_is_there: Callable[[], bool],
    ) -> None:
        self._known = known
        self._save = save
        self._live = live
        self._engine_is_there = engine_is_there
        self._noted_at = time.monotonic()
        self._absence = known.absence.taken_up(live().dead_man_after_s, _unix_s(), self._noted_at)

    def look(self) -> None:
        """For the engine."""
        now = time.monotonic()
        self._absence = self._absence.at(self._engine_is_there(), now)
        since = self._absence.since_s
        if since is None:
            self._noted_at = now
            self._note(Noted())
        elif now - self._noted_at >= _NOTE_S:
            self._noted_at, now_unix_s = now, _unix_s()
            self._note(Noted(int(now_unix_s - (now - since)), int(now_unix_s)))

    def is_too_long(self) -> bool:
        """The dead man is to act."""
        live = self._live()
        return self._absence.is_too_long(live.dead_man, live.dead_man_after_s, time.monotonic())

    def _note(self, absence: Noted) -> None:
        if absence != self._known.absence:
            self._known.absence = absence
            self._save()


def _unix_s() -> float:
    return unix_ns() / 1e9
