"""What happens around every call, one concern a file.

Each concern is an async context manager around the handler; `Around` puts them on a server.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import grpc

from mesh.interceptors.deadline import default_deadline
from mesh.interceptors.errors import canonical_errors
from mesh.interceptors.metrics import call_metrics

Concern = Callable[[str, Any, bool], AbstractAsyncContextManager[None]]

# Outermost first: metrics see the status that the errors' concern has set.
CONCERNS: tuple[Concern, ...] = (call_metrics, canonical_errors, default_deadline)


class Around(grpc.aio.ServerInterceptor):
    """Runs every handler inside `concerns` (method, context, streaming)."""

    def __init__(self, concerns: tuple[Concern, ...] = CONCERNS) -> None:
        self._concerns = concerns

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        if handler.response_streaming:
            kind = "stream_stream" if handler.request_streaming else "unary_stream"
            return handler._replace(**{kind: self._stream(getattr(handler, kind), method)})
        kind = "stream_unary" if handler.request_streaming else "unary_unary"
        return handler._replace(**{kind: self._unary(getattr(handler, kind), method)})

    def _unary(self, behaviour: Callable[[Any, Any], Awaitable[Any]], method: str) -> Any:
        async def call(request: Any, context: Any) -> Any:
            async with AsyncExitStack() as stack:
                for concern in self._concerns:
                    await stack.enter_async_context(concern(method, context, False))
                return await behaviour(request, context)

        return call

    def _stream(self, behaviour: Callable[[Any, Any], AsyncIterator[Any]], method: str) -> Any:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            async with AsyncExitStack() as stack:
                for concern in self._concerns:
                    await stack.enter_async_context(concern(method, context, True))
                async for response in behaviour(request, context):
                    yield response

        return call
