"""`GetHealthHistory` at the edge."""

from suho.hub.v1 import registry_pb2 as pb

from hub.domain.catalog import Catalog
from hub.domain.history import History, HistoryAwayError
from hub.messages.history import event_to
from mesh.errors import MeshError, Reason

_LONGEST_ID = 128


async def health_history(
    history: History, catalog: Catalog, request: pb.GetHealthHistoryRequest
) -> pb.GetHealthHistoryResponse:
    """The answer.

    Raises:
        MeshError: no such instance was there in the last 24 hours, or the history can not be read now.
    """
    if not 0 < len(request.instance_id) <= _LONGEST_ID:
        raise MeshError(Reason.INVALID_ARGUMENT, "name the instance by its id; ListInstances lists them")
    try:
        events = await history.read(request.instance_id, request.since_unix_ms)
        if not events and catalog.get(request.instance_id) is None and not await history.read(request.instance_id, 0):
            raise MeshError(
                Reason.UNKNOWN_INSTANCE, f"no instance {request.instance_id[:128]!r} was here in the last 24 hours"
            )
    except HistoryAwayError as error:
        raise MeshError(Reason.STORE_AWAY, str(error)) from None
    return pb.GetHealthHistoryResponse(events=[event_to(event) for event in events])
