"""What is done when the engine has been gone for too long."""

from dataclasses import dataclass

from pc_agent.domain.live_settings import DeadMan


@dataclass(frozen=True, slots=True)
class Absence:
    """Since when the engine is gone: monotonic seconds, None: it is there."""

    since_s: float | None = None

    def at(self, engine_is_there: bool, now_s: float) -> "Absence":
        if engine_is_there:
            return Absence()
        return self if self.since_s is not None else Absence(now_s)

    def is_too_long(self, policy: DeadMan, after_s: float, now_s: float) -> bool:
        """Then entries are stopped and pending ones withdrawn; with FLATTEN, what is ours is closed."""
        return policy is not DeadMan.HOLD and self.since_s is not None and now_s - self.since_s >= after_s
