"""The domain's refusals in the mesh's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from hub.domain.admission import AdmissionError
from hub.domain.catalog import CompactedError
from hub.domain.lease import IdTakenError, NotHolderError
from hub.domain.state import ConflictError, StoreAwayError
from hub.registry import NotRegisteredError, OfferTakenError, RegistryFullError
from mesh.errors import MeshError, Reason


@contextmanager
def canonical() -> Iterator[None]:
    """Raise MeshError for what the domain refuses."""
    try:
        yield
    except AdmissionError as error:
        raise MeshError(Reason.INVALID_ARGUMENT, str(error)) from None
    except IdTakenError as error:
        raise MeshError(Reason.INSTANCE_ID_TAKEN, str(error)) from None
    except NotRegisteredError as error:
        raise MeshError(Reason.NOT_REGISTERED, str(error)) from None
    except OfferTakenError as error:
        raise MeshError(Reason.SERVICE_OFFERED_ELSEWHERE, str(error)) from None
    except RegistryFullError as error:
        raise MeshError(Reason.TOO_MANY_INSTANCES, str(error)) from None
    except NotHolderError as error:
        raise MeshError(Reason.SESSION_REPLACED, str(error)) from None
    except ConflictError as error:
        raise MeshError(Reason.CONCURRENT_WRITE, str(error)) from None
    except StoreAwayError as error:
        raise MeshError(Reason.STORE_AWAY, f"{error}; try again, or another hub") from None
    except CompactedError as error:
        raise MeshError(Reason.REVISION_COMPACTED, f"{error}; watch anew from 0") from None
