"""Makes the sources that the settings name: files, and classes of others (docs/agent.md, "A source of your own").

A plug-in is a class that is called with its `SourceSettings` and a folder of its own, and gives a `CollectedSource`:
a `TickSource` with `run`. The least work is to derive it from `ArchiveSource`: it appends what comes in `collect`.
"""

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from mesh.config import SettingsError
from pc_agent.market.file_source import FileSource
from pc_agent.settings.sources import SourceSettings
from pc_agent.ticks.sources import TickSource

GROUP = "suho.tick_sources"


class CollectedSource(TickSource, Protocol):
    """A source that works by itself."""

    async def run(self) -> None:
        """Collect, and tell the listener, for ever."""


def open_sources(sources: Sequence[SourceSettings], state_dir: Path) -> tuple[CollectedSource, ...]:
    """Those of the settings, in their order.

    Raises:
        SettingsError: a plug-in is not there, or does not want to be.
    """
    return tuple(_opened(settings, state_dir / "sources" / settings.name) for settings in sources)


def _opened(settings: SourceSettings, folder: Path) -> CollectedSource:
    if settings.kind == "plugin":
        return _plugged(settings, folder)
    is_whole = settings.kind == "replay"
    return FileSource(settings.name, settings.server_name, settings.files, folder, is_whole, settings.speed)


def _plugged(settings: SourceSettings, folder: Path) -> CollectedSource:
    made = _class_of(settings)
    try:
        source: CollectedSource = made(settings, folder)
    except Exception as error:
        raise SettingsError(f"setting 'sources': {settings.plugin} can not be made: {error!r}") from error
    return source


def _class_of(settings: SourceSettings) -> Any:
    module, colon, name = settings.plugin.partition(":")
    try:
        if not colon:
            return next(iter(entry_points(group=GROUP, name=settings.plugin))).load()
        return getattr(importlib.import_module(module), name)
    except StopIteration:
        why = f"no package here has an entry point of that name in {GROUP}; or write 'module:Class'"
    except (ImportError, AttributeError) as error:
        why = str(error)
    raise SettingsError(f"setting 'sources': the plug-in {settings.plugin!r} of {settings.name!r} is not there: {why}")
