"""What is done when the engine has been gone for too long."""

from dataclasses import dataclass

from pc_agent.domain.live_settings import DeadMan

# An agent that was just started gives the engine so long to be found, whatever it remembers.
_FOUND_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Absence:
    """Since when the engine is gone: monotonic seconds, None: it is there. `looked_since_s`: and this agent looks."""

    since_s: float | None = None
    looked_since_s: float = float("-inf")

    def at(self, engine_is_there: bool, now_s: float) -> "Absence":
        if engine_is_there:
            return Absence()
        return self if self.since_s is not None else Absence(now_s)

    def is_too_long(self, policy: DeadMan, after_s: float, now_s: float) -> bool:
        """Then entries are stopped and pending ones withdrawn; with FLATTEN, what is ours is closed."""
        if policy is DeadMan.HOLD or self.since_s is None:
            return False
        return now_s - self.since_s >= after_s and now_s - self.looked_since_s >= min(after_s, _FOUND_WITHIN_S)


@dataclass(frozen=True, slots=True)
class Noted:
    """An absence on the disk, by the PC's clock in seconds: since when, and when that was written; zeros: none."""

    since_unix_s: int = 0
    at_unix_s: int = 0

    def taken_up(self, after_s: float, now_unix_s: float, now_s: float) -> Absence:
        """It goes on, unless no agent was here for as long as the engine may be gone: who was away can not tell."""
        away_s = now_unix_s - self.at_unix_s
        if not self.since_unix_s or not 0 <= away_s < after_s:
            return Absence()
        return Absence(now_s - (now_unix_s - self.since_unix_s), now_s)
