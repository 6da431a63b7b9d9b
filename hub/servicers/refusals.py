"""The domain's refusals in the mesh's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hub.configurations import TooManyConfigsError
from hub.domain.admission import AdmissionError
from hub.domain.catalog import CompactedError
from hub.domain.configuration import SecretError, UnknownVersionError
from hub.domain.lease import IdTakenError, NotHolderError
from hub.domain.state import ConflictError, StoreAwayError
from hub.domain.withdrawal import LastEndpointError, UnknownTargetError
from hub.maintenance import TooManyDrainsError
from hub.registry import NotRegisteredError, OfferTakenError, RegistryFullError
from hub.traffic import TooManyPoliciesError
from mesh.errors import MeshError, Reason

_REFUSALS: Mapping[type[Exception], tuple[Reason, str]] = {
    AdmissionError: (Reason.INVALID_ARGUMENT, ""),
    IdTakenError: (Reason.INSTANCE_ID_TAKEN, ""),
    NotRegisteredError: (Reason.NOT_REGISTERED, ""),
    OfferTakenError: (Reason.SERVICE_OFFERED_ELSEWHERE, ""),
    RegistryFullError: (Reason.TOO_MANY_INSTANCES, ""),
    NotHolderError: (Reason.SESSION_REPLACED, ""),
    UnknownTargetError: (Reason.UNKNOWN_TARGET, ""),
    LastEndpointError: (Reason.LAST_ENDPOINT, ""),
    TooManyDrainsError: (Reason.TOO_MANY_DRAINS, ""),
    TooManyPoliciesError: (Reason.TOO_MANY_POLICIES, ""),
    TooManyConfigsError: (Reason.TOO_MANY_CONFIGS, ""),
    UnknownVersionError: (Reason.UNKNOWN_VERSION, ""),
    SecretError: (Reason.SECRET_REFUSED, ""),
    ConflictError: (Reason.CONCURRENT_WRITE, "; look at what stands, and ask again"),
    StoreAwayError: (Reason.STORE_AWAY, "; try again, or another hub"),
    CompactedError: (Reason.REVISION_COMPACTED, "; watch anew from 0"),
}
"""By what the domain raises: the reason, and what to do where the domain can not say it."""


@contextmanager
def canonical() -> Iterator[None]:
    """Raise MeshError for what the domain refuses."""
    try:
        yield
    except tuple(_REFUSALS) as error:
        reason, advice = _REFUSALS[type(error)]
        lost = {"services": ",".join(error.services)} if isinstance(error, LastEndpointError) else {}
        raise MeshError(reason, f"{error}{advice}", **lost) from None
