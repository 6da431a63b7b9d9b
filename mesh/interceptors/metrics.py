"""How many calls, how long, with what outcome (OpenTelemetry's names for RPC)."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mesh.telemetry import rpc_duration


@asynccontextmanager
async def call_metrics(method: str, context: Any, streaming: bool) -> AsyncIterator[None]:
    service, _, name = method.lstrip("/").partition("/")
    start = time.perf_counter()
    try:
        yield
    finally:
        attributes: dict[str, str | int] = {
            "rpc.service": service,
            "rpc.method": name,
            "rpc.grpc.status_code": int(_code(context)),
        }
        rpc_duration().record(time.perf_counter() - start, attributes)


def _code(context: Any) -> int:
    code = context.code()
    if code is None:
        return 0
    return code if isinstance(code, int) else int(code.value[0])
