"""What happens around every call, one concern a file.

Each concern is a context manager around the handler; `Around` puts them on a server. Those of streams are small
objects, no generators: a server holds thousands of streams, and each pays for them as long as it stands.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from mesh.interceptors.deadline import default_deadline
from mesh.interceptors.errors import CanonicalErrors
from mesh.interceptors.metrics import CallMetrics


class Around(grpc.aio.ServerInterceptor):
    """Runs every handler inside the concerns; outermost the metrics, which see the status that the errors have set."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            return handler._replace(**{kind: _stream(getattr(handler, kind), method)})
        kind = "stream_unary" if handler.request_streaming else "unary_unary"
        return handler._replace(**{kind: _unary(getattr(handler, kind), method)})


def _unary(behaviour: Callable[[Any, Any], Awaitable[Any]], method: str) -> Any:
    async def call(request: Any, context: Any) -> Any:
        with CallMetrics(method, context):
            async with CanonicalErrors(method, context), default_deadline(method, context):
                return await behaviour(request, context)

    return call


def _stream(behaviour: Callable[[Any, Any], AsyncIterator[Any]], method: str) -> Any:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        with CallMetrics(method, context):
            async with CanonicalErrors(method, context):
                async for response in behaviour(request, context):
                    yield response

    return call
