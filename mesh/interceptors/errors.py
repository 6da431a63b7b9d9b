"""Exceptions become canonical statuses; what nobody foresaw is logged and called INTERNAL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from mesh.errors import MeshError, Reason
from mesh.log import get_logger

log = get_logger(__name__)


@asynccontextmanager
async def canonical_errors(method: str, context: Any, streaming: bool) -> AsyncIterator[None]:
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except MeshError as error:
        await _abort(context, error)
    except grpc.aio.AioRpcError as error:  # a call that this one depended on
        await _abort(context, MeshError.of(error))
    except Exception:
        log.exception("a handler failed", method=method)
        await _abort(context, MeshError(Reason.INTERNAL, f"{method} failed; the server's log says why"))


async def _abort(context: Any, error: MeshError) -> None:
    details = error.status().SerializeToString()
    await context.abort(error.code, error.message, trailing_metadata=(("grpc-status-details-bin", details),))
