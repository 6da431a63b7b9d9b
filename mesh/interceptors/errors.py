"""Exceptions become canonical statuses; what nobody foresaw is logged and called INTERNAL."""

from typing import Any

import grpc

from mesh.errors import MeshError, Reason
from mesh.log import get_logger

log = get_logger(__name__)


class CanonicalErrors:
    """Aborts the call with what its handler raised."""

    __slots__ = ("_context", "_method")

    def __init__(self, method: str, context: Any) -> None:
        self._method = method
        self._context = context

    async def __aenter__(self) -> None:
        return

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        match error:
            case grpc.aio.AbortError():
                return
            case MeshError():
                await self._abort(error)
            case grpc.aio.AioRpcError():  # a call that this one depended on
                await self._abort(MeshError.of(error))
            case Exception():
                log.error("a handler failed", method=self._method, exc_info=error)
                await self._abort(MeshError(Reason.INTERNAL, f"{self._method} failed; the server's log says why"))

    async def _abort(self, error: MeshError) -> None:
        details = error.status().SerializeToString()
        trailer = (("grpc-status-details-bin", details),)
        await self._context.abort(error.code, error.message, trailing_metadata=trailer)
