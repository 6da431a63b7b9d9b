"""Who may call: whoever has the token, whatever is called; reflection too."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from mesh.errors import MeshError, Reason

_HEADER = "authorization"


class TokenAccess(grpc.aio.ServerInterceptor):
    """Refuses calls without `authorization: Bearer TOKEN`."""

    def __init__(self, token: str) -> None:
        self._wanted = f"Bearer {token}"

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        given = dict(handler_call_details.invocation_metadata or ()).get(_HEADER, "")
        handler = await continuation(handler_call_details)
        text = given if isinstance(given, str) else ""
        if handler is None or hmac.compare_digest(text.encode(), self._wanted.encode()):
            return handler
        return _refusing(handler)


def _refusing(handler: Any) -> Any:
    """The same kind of handler, which refuses."""
    if handler.response_streaming:
        kind = "stream_stream" if handler.request_streaming else "unary_stream"
        return handler._replace(**{kind: _refuse_stream})
    kind = "stream_unary" if handler.request_streaming else "unary_unary"
    return handler._replace(**{kind: _refuse})


async def _refuse(_request: Any, _context: Any) -> Any:
    raise _refusal()


async def _refuse_stream(_request: Any, _context: Any) -> Any:
    raise _refusal()
    yield  # a stream's handler is a generator


def _refusal() -> MeshError:
    return MeshError(
        Reason.TOKEN_WRONG,
        "send the token of endpoint.json in the agent's state folder: `authorization: Bearer TOKEN`",
    )
