"""Every sink of the logs, as one sees it from outside."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.errors import MeshError, Reason
from services.database.domain.log import Position
from services.database.domain.purge import LogState
from services.database.domain.tick import Latency


@dataclass(frozen=True, slots=True)
class SinkState:
    """What follows one log into one store; `suho.database.v1.SinkStatus` says what each means."""

    log: str
    store: str
    epoch: int
    stored_seq: int
    holder: str
    stored_rows: int
    latency: Latency
    stopped_reason: str = ""


class RunningSink(Protocol):
    @property
    def following(self) -> bool:
        """Whether it runs in this instance."""

    @property
    def position(self) -> Position: ...
    @property
    def stored_rows(self) -> int: ...
    @property
    def latency(self) -> Latency: ...


class Store(Protocol):
    async def stored_seq(self, epoch: int) -> int: ...


class Log(Protocol):
    @property
    def name(self) -> str: ...
    async def state(self) -> LogState: ...


@dataclass(frozen=True, slots=True)
class SinkEntry:
    """A sink with its log, its store, and who holds its lease."""

    log: Log
    store_name: str
    sink: RunningSink
    store: Store
    holder: Callable[[], Awaitable[str]]
    # Whoever asks gets an answer although its store gives none.
    optional: bool = False


class Sinks:
    """Answers how far each log has been stored, wherever its sink runs.

    Args:
        unavailable: What is raised while the logs' engine is away.
    """

    def __init__(self, entries: Sequence[SinkEntry], unavailable: tuple[type[Exception], ...]) -> None:
        self._entries = tuple(entries)
        self._unavailable = unavailable

    async def logs(self) -> dict[str, LogState]:
        """Each log by its name.

        Raises:
            MeshError: LOG_UNAVAILABLE.
        """
        try:
            return {entry.log.name: await entry.log.state() for entry in self._entries}
        except self._unavailable as error:
            raise MeshError(
                Reason.LOG_UNAVAILABLE, f"NATS does not answer for the log ({type(error).__name__}); try again"
            ) from error

    async def states(self, logs: dict[str, LogState]) -> list[SinkState]:
        """Each sink, given what `logs` said.

        Raises:
            MeshError: ENGINE_UNAVAILABLE.
        """
        return [await self._state(entry, logs[entry.log.name]) for entry in self._entries]

    async def _state(self, entry: SinkEntry, log: LogState) -> SinkState:
        position, trouble = entry.sink.position, ""
        if not entry.sink.following or position.epoch != log.epoch:
            try:
                stored = await entry.store.stored_seq(log.epoch)
            except MeshError as error:
                if not entry.optional:
                    raise
                stored, trouble = 0, str(error)
            position = Position(log.epoch, max(stored, log.floor))
        return SinkState(
            entry.log.name,
            entry.store_name,
            *position,
            await entry.holder(),
            entry.sink.stored_rows,
            entry.sink.latency,
            trouble,
        )
