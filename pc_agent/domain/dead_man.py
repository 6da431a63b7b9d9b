"""What is done when the engine has been gone for too long."""

from dataclasses import dataclass, replace

from pc_agent.domain.live_settings import DeadMan


@dataclass(frozen=True, slots=True)
class Absence:
    """Since when the engine is gone (monotonic seconds; None: it is there), and whether that was acted on."""

    since_s: float | None = None
    flattened: bool = False

    def at(self, engine_is_there: bool, now_s: float) -> "Absence":
        if engine_is_there:
            return Absence()
        return self if self.since_s is not None else Absence(now_s)

    def is_too_long(self, policy: DeadMan, after_s: float, now_s: float) -> bool:
        """Then entries are stopped, and pending ones withdrawn."""
        return policy is not DeadMan.HOLD and self.since_s is not None and now_s - self.since_s >= after_s

    def must_flatten(self, policy: DeadMan, after_s: float, now_s: float) -> bool:
        """Then what is ours is closed, once."""
        return policy is DeadMan.FLATTEN and not self.flattened and self.is_too_long(policy, after_s, now_s)

    def acted(self) -> "Absence":
        return replace(self, flattened=True)
