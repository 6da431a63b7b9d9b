"""Keeps the agent's settings: its own, with what the mesh keeps for it over them, journalled and remembered."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mesh.clock import unix_ms
from mesh.configuration import KeptConfig
from mesh.log import get_logger, set_level
from pc_agent.config import AgentSettings
from pc_agent.domain.setting_rules import RULES, Reach, rule_of
from pc_agent.settings.journal import Change, Remembered, append, recall, remember
from pc_agent.settings.judging import Judged, UnfitError, judge
from pc_agent.settings.live import LIVE_NAMES, Live, live_settings

log = get_logger(__name__)

_NOW = "now"


class KeptByMesh(Protocol):
    """Where the mesh tells what it keeps, and is told what runs."""

    async def newer(self, known: KeptConfig | None) -> KeptConfig: ...

    def report(
        self, service_version: int, instance_version: int, refusal: str = "", notes: Mapping[str, str] | None = None
    ) -> None: ...


@dataclass(frozen=True)
class Applied:
    """Which versions of the mesh's documents run; why newer ones do not, and which of their values do not, and why."""

    service_version: int = 0
    instance_version: int = 0
    refusal: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


class SettingsKeeper:
    """One agent's. A version is taken as a whole or not at all.

    What is remembered counts from the start, so that the PC is set as it was while no hub is there.
    """

    def __init__(self, own: AgentSettings, clock: Callable[[], int] = unix_ms) -> None:
        self._own = own
        self._folder: Path = own.state_dir
        self._clock = clock
        self._kept = KeptConfig()
        # As the agent was started, and as it would be started now.
        self._started = self._wanted = own
        self.live = Live(live_settings(own))
        self.applied = Applied()

    def start(self) -> AgentSettings:
        """Take up what is remembered, and journal what is not as it was in the last run.

        Raises:
            OSError: the journal can not be written.
        """
        remembered = recall(self._folder)
        try:
            judged = judge(self._own, remembered.kept.values)
        except UnfitError as error:
            log.error("what the mesh kept last fits no longer; the PC's own settings count", because=str(error))
            remembered, judged = Remembered(KeptConfig(), remembered.settings), Judged(self._own, {})
        self._started = self._wanted = judged.settings
        self._kept = remembered.kept
        shown = _shown(self._started)
        changes = [
            Change(name, remembered.settings.get(name), value, self._origin(name))
            for name, value in shown.items()
            if remembered.settings and remembered.settings.get(name) != value
        ]
        if changes:
            append(self._folder, self._record("start", self._kept, changes))
        remember(self._folder, Remembered(self._kept, shown))
        self._put_in_force(judged.held)
        return self._started

    async def run(self, mesh: KeptByMesh) -> None:
        """Follow what the mesh keeps, for ever."""
        known: KeptConfig | None = None
        while True:
            applied = self.applied
            mesh.report(applied.service_version, applied.instance_version, applied.refusal, applied.notes)
            known = await mesh.newer(known)
            if known != self._kept:
                await self._take(known)

    async def _take(self, kept: KeptConfig) -> None:
        try:
            judged = judge(self._own, kept.values)
            changes = self._changes(judged, kept.values)
            await asyncio.to_thread(append, self._folder, self._record("mesh", kept, changes))
            await asyncio.to_thread(remember, self._folder, Remembered(kept, _shown(judged.settings)))
        except (UnfitError, OSError) as error:
            await self._refuse(kept, str(error))
        else:
            self._kept, self._wanted = kept, judged.settings
            self._put_in_force(judged.held)

    async def _refuse(self, kept: KeptConfig, because: str) -> None:
        """The version before goes on; the mesh is told why."""
        self.applied = replace(self.applied, refusal=f"{title_of(kept)}: {because}")
        log.error("settings of the mesh are refused; those before go on", version=title_of(kept), because=because)
        try:
            await asyncio.to_thread(append, self._folder, self._record("mesh", kept, (), because))
        except OSError as error:
            log.error("the settings' journal can not be written", because=str(error))

    def _put_in_force(self, held: Mapping[str, str]) -> None:
        live = live_settings(self._wanted)
        waiting = {
            name: str(Reach.RESTART)
            for name, rule in RULES.items()
            if rule.reach is Reach.RESTART and getattr(self._wanted, name) != getattr(self._started, name)
        }
        self.applied = Applied(self._kept.of_service.version, self._kept.of_instance.version, "", {**waiting, **held})
        self.live.set(live)
        set_level(live.log_level)
        log.info("settings are in force", version=title_of(self._kept), notes=self.applied.notes)

    def _changes(self, judged: Judged, kept: Mapping[str, Any]) -> list[Change]:
        before, after = _shown(self._wanted), _shown(judged.settings)
        changes = [
            Change(name, before[name], after[name], _NOW if name in LIVE_NAMES else str(rule_of(name).reach))
            for name in after
            if before[name] != after[name]
        ]
        return changes + [Change(name, after[name], kept[name], why) for name, why in judged.held.items()]

    def _origin(self, name: str) -> str:
        own = getattr(self._own, name) == getattr(self._started, name)
        return self._own.origin(name) if own else title_of(self._kept)

    def _record(self, source: str, kept: KeptConfig, changes: Iterable[Change], refused: str = "") -> Mapping[str, Any]:
        return {
            "at_unix_ms": self._clock(),
            "from": source,
            "outcome": "refused" if refused else "applied",
            "because": refused,
            "of_service": asdict(kept.of_service),
            "of_instance": asdict(kept.of_instance),
            "changes": [asdict(change) for change in changes],
        }


def _shown(settings: AgentSettings) -> dict[str, Any]:
    """As JSON has them; a secret is not shown."""
    return settings.model_dump(mode="json")


def title_of(kept: KeptConfig) -> str:
    """Of which versions it is, for people."""
    versions = [f"{what} {made.version}" for what, made in
                (("service", kept.of_service), ("instance", kept.of_instance)) if made.version]  # fmt: skip
    return f"version {' + '.join(versions)} of the mesh" if versions else "nothing kept by the mesh"
