"""People's policies: set, taken back, and published when the call returns."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from hub.domain.policy import Policy, admit_policy, default_policy
from hub.domain.state import ConflictError, key_of
from hub.replica import Replica
from mesh.clock import unix_ms
from mesh.log import get_logger
from mesh.waiting import backoff

log = get_logger(__name__)
P = TypeVar("P")

MAX_POLICIES = 1_000
# Another hub's write comes in within moments.
_FIRST_PAUSE_S = 0.02
_TRIES = 5


class TooManyPoliciesError(Exception):
    """More policies than there can be services."""


class Traffic:
    """Replaces policies by compare-and-set.

    Args:
        publish_up_to: Lets discovery say all that is known up to a revision.
    """

    def __init__(
        self, replica: Replica, publish_up_to: Callable[[int], None], clock: Callable[[], int] = unix_ms
    ) -> None:
        self._replica = replica
        self._publish_up_to = publish_up_to
        self._clock = clock

    @property
    def revision(self) -> int:
        """Up to which the policies are known here."""
        return self._replica.catalog.revision

    def policies(self) -> list[tuple[int, Policy]]:
        """The policy in force for every registered service, and those set for others; the default has revision 0."""
        held = self._replica.policies()
        services = {summary.service for summary in self._replica.catalog.services()} | held.keys()
        return [held.get(service) or (0, default_policy(service)) for service in sorted(services)]

    async def put(self, policy: Policy) -> tuple[int, Policy]:
        """Replace a service's policy; gives it as it is in force, with its revision.

        Raises:
            AdmissionError: the policy is wrong.
            TooManyPoliciesError: a thousand are set already.
            ConflictError: other hubs kept changing it.
            StoreAwayError: nobody answers; whether it is in force is not known.
        """
        admit_policy(policy)
        revision, policy = await self._again(lambda: self._put(policy))
        log.info("policy set", service=policy.service, by=policy.by, reason=policy.reason)
        return revision, policy

    async def delete(self, service: str) -> int:
        """Back to the default policy; gives the revision from which that holds.

        Raises:
            ConflictError, StoreAwayError: as `put`.
        """
        revision, policy = await self._again(lambda: self._delete(service))
        if policy is not None:
            log.info("policy taken back", service=service)
        return revision

    async def _put(self, policy: Policy) -> tuple[int, Policy]:
        held = self._replica.policies()
        revision, standing = held.get(policy.service, (0, None))
        if standing is None and len(held) >= MAX_POLICIES:
            raise TooManyPoliciesError(f"{len(held)} policies are set already; delete those of services that are gone")
        if standing is not None and replace(policy, changed_unix_ms=standing.changed_unix_ms) == standing:
            return revision, standing
        policy = replace(policy, changed_unix_ms=self._clock())
        return await self._replica.put(policy, revision), policy

    async def _delete(self, service: str) -> tuple[int, Policy | None]:
        revision, standing = self._replica.policies().get(service, (0, None))
        if standing is None:
            return self.revision, None
        return await self._replica.remove(key_of(standing), revision), standing

    async def _again(self, attempt: Callable[[], Awaitable[tuple[int, P]]]) -> tuple[int, P]:
        """Try anew with what other hubs wrote meanwhile."""
        pauses = islice(backoff(_FIRST_PAUSE_S), _TRIES)
        while True:
            try:
                done = await attempt()
            except ConflictError:
                if (pause := next(pauses, None)) is None:
                    raise
                await asyncio.sleep(pause)
            else:
                self._publish_up_to(done[0])
                return done
