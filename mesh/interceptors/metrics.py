"""How many calls, how long, with what outcome (OpenTelemetry's names for RPC)."""

import time
from typing import Any

from mesh.telemetry import rpc_duration


class CallMetrics:
    """Records one call when it is over."""

    __slots__ = ("_context", "_method", "_start")

    def __init__(self, method: str, context: Any) -> None:
        self._method = method
        self._context = context
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_error: object) -> None:
        service, _, name = self._method.lstrip("/").partition("/")
        attributes: dict[str, str | int] = {
            "rpc.service": service,
            "rpc.method": name,
            "rpc.grpc.status_code": _code(self._context),
        }
        rpc_duration().record(time.perf_counter() - self._start, attributes)


def _code(context: Any) -> int:
    code = context.code()
    if code is None:
        return 0
    return code if isinstance(code, int) else int(code.value[0])
