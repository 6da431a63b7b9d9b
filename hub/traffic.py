"""People's policies: set, taken back, and published when the call returns."""

from collections.abc import Callable
from dataclasses import replace

from hub.domain.policy import Policy, admit_policy, default_policy
from hub.domain.state import ConflictError, key_of
from hub.store.replica import Replica
from hub.store.rewriting import rewritten
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)

MAX_POLICIES = 1_000


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

    async def put(self, policy: Policy, expected_revision: int | None = None) -> tuple[int, Policy]:
        """Replace a service's policy; gives it as it is in force, with its revision.

        Args:
            expected_revision: Of the policy that this one was made from, where that matters; 0: the default.

        Raises:
            AdmissionError: the policy is wrong.
            TooManyPoliciesError: a thousand are set already.
            ConflictError: it is not the expected one that would be replaced, or other hubs kept changing it.
            StoreAwayError: nobody answers; whether it is in force is not known.
        """
        admit_policy(policy)
        if expected_revision is None:
            revision, policy = await rewritten(lambda: self._put(policy))
        else:
            revision, policy = await self._put(policy, expected_revision)
        self._publish_up_to(revision)
        log.info("policy set", service=policy.service, by=policy.by, reason=policy.reason)
        return revision, policy

    async def delete(self, service: str) -> int:
        """Back to the default policy; gives the revision from which that holds.

        Raises:
            ConflictError, StoreAwayError: as `put`.
        """
        revision, policy = await rewritten(lambda: self._delete(service))
        self._publish_up_to(revision)
        if policy is not None:
            log.info("policy taken back", service=service)
        return revision

    async def _put(self, policy: Policy, expected_revision: int | None = None) -> tuple[int, Policy]:
        held = self._replica.policies()
        revision, standing = held.get(policy.service, (0, None))
        if standing is None and len(held) >= MAX_POLICIES:
            raise TooManyPoliciesError(f"{len(held)} policies are set already; delete those of services that are gone")
        if standing is not None and replace(policy, changed_unix_ms=standing.changed_unix_ms) == standing:
            return revision, standing
        if expected_revision not in (None, revision):
            by = f" by {standing.by}" if standing is not None and standing.by else ""
            raise ConflictError(f"the policy of {policy.service} was changed{by} meanwhile, and is at {revision}")
        policy = replace(policy, changed_unix_ms=self._clock())
        return await self._replica.put(policy, revision), policy

    async def _delete(self, service: str) -> tuple[int, Policy | None]:
        revision, standing = self._replica.policies().get(service, (0, None))
        if standing is None:
            return self.revision, None
        return await self._replica.remove(key_of(standing), revision), standing
