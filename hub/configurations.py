"""What people set for programs: versions made by compare-and-set, and in force at this hub when the call returns."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from hub.domain.configuration import (
    ConfigTarget,
    Configuration,
    Effective,
    Held,
    UnknownVersionError,
    Version,
    admit_change,
    admit_config_target,
    admit_values,
    effective,
    same_values,
    with_version,
)
from hub.domain.state import ConflictError, key_of
from hub.store.replica import Replica
from hub.store.rewriting import rewritten
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

MAX_TARGETS = 1_000


class TooManyConfigsError(Exception):
    """More documents than there can be programs that people look after."""


class Configurations:
    """Answers from memory; writes by compare-and-set."""

    def __init__(self, replica: Replica, clock: Callable[[], int] = unix_ms) -> None:
        self._replica = replica
        self._clock = clock

    @property
    def revision(self) -> int:
        """Up to which the documents are known here."""
        return self._replica.catalog.revision

    def get(self, target: ConfigTarget, number: int = 0) -> Version | None:
        """A target's document: a version that is held, or the newest; None where it has none.

        Raises:
            AdmissionError: the target can be none.
            UnknownVersionError: that version is not held.
        """
        admit_config_target(target)
        held = self._held(target)
        if held is None and number:
            raise UnknownVersionError(f"{target} has no document yet, so no version {number}")
        if held is None:
            return None
        return held[1].version(number) if number else held[1].newest

    def effective(self, target: ConfigTarget) -> Effective:
        """What counts for a target.

        Raises:
            AdmissionError: the target can be none.
        """
        admit_config_target(target)
        own = self._held(target) if target.instance else None
        return effective(target, self._held(ConfigTarget(target.service)), own)

    def all(self, service: str = "") -> Iterator[Configuration]:
        """Documents of a service and its instances, or all of them, by name."""
        held = self._replica.configurations()
        for target in sorted(held, key=lambda target: (target.service, target.instance)):
            if service in ("", target.service):
                yield held[target][1]

    def history(self, target: ConfigTarget) -> tuple[Version, ...]:
        """The versions held, newest first.

        Raises:
            AdmissionError: the target can be none.
        """
        admit_config_target(target)
        held = self._held(target)
        return held[1].versions[::-1] if held is not None else ()

    async def put(
        self, target: ConfigTarget, values: Mapping[str, Any], reason: str, by: str, expected: int | None = None
    ) -> Version:
        """Make a version; the same values again make none.

        Args:
            expected: The version that this one was made from, where that matters; 0: there was none.

        Raises:
            AdmissionError, SecretError: target, values or words are refused.
            TooManyConfigsError: a thousand targets have documents already.
            ConflictError: another version came in between, or other hubs kept writing.
            StoreAwayError: nobody answers; whether it is in force is not known.
        """
        admit_change(target, reason, by)
        admit_values(values)
        return await _written(lambda: self._write(target, values, reason, by, expected), expected)

    async def roll_back(
        self, target: ConfigTarget, number: int, reason: str, by: str, expected: int | None = None
    ) -> Version:
        """Make a version with the values of an older one.

        Raises:
            UnknownVersionError: that one is not held.
            AdmissionError, ConflictError, StoreAwayError: as `put`.
        """
        admit_change(target, reason, by)

        async def attempt() -> Version:
            older = self.get(target, number)
            if not number or older is None:
                raise UnknownVersionError(f"name the version of {target} to go back to")
            return await self._write(target, older.values, reason, by, expected, number)

        return await _written(attempt, expected)

    async def delete(self, target: ConfigTarget, reason: str, by: str) -> Version | None:
        """Forget a target's versions; gives the newest that there was.

        Raises:
            AdmissionError, ConflictError, StoreAwayError: as `put`.
        """
        admit_change(target, reason, by)

        async def attempt() -> Version | None:
            revision, standing = self._held(target) or (0, None)
            if standing is None:
                return None
            await self._replica.remove(key_of(standing), revision)
            return standing.newest

        deleted = await rewritten(attempt)
        if deleted is not None:
            log.info("configuration deleted", target=str(target), version=deleted.number, by=by, reason=reason)
        return deleted

    async def _write(
        self,
        target: ConfigTarget,
        values: Mapping[str, Any],
        reason: str,
        by: str,
        expected: int | None,
        rolled_back_to: int = 0,
    ) -> Version:
        revision, standing = self._held(target) or (0, None)
        if standing is not None and same_values(standing.newest.values, values):
            return standing.newest
        number = standing.newest.number if standing is not None else 0
        if expected not in (None, number):
            made_by = f" by {standing.newest.by}" if standing is not None else ""
            raise ConflictError(f"{target} was changed{made_by} meanwhile, and is at version {number}")
        if standing is None and len(self._replica.configurations()) >= MAX_TARGETS:
            raise TooManyConfigsError(
                f"{MAX_TARGETS} targets have documents already; delete those of programs that are gone"
            )
        made = Version(number + 1, values, reason, by, self._clock(), rolled_back_to)
        await self._replica.put(with_version(standing, target, made), revision)
        log.info("configuration set", target=str(target), version=made.number, by=by, reason=reason)
        return made

    def _held(self, target: ConfigTarget) -> Held | None:
        return self._replica.configurations().get(target)


async def _written(attempt: Callable[[], Awaitable[Version]], expected: int | None) -> Version:
    """Where the writer said from what it made its version, another one that came in between is told."""
    return await (rewritten(attempt) if expected is None else attempt())
