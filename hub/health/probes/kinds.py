"""All kinds of probes, and how to ask one: within a time, with the outcome in words."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from hub.domain.health import ProbeKind
from hub.health.probes import clickhouse, grpc_health, http, kafka, nats, postgres, redis, tcp
from hub.health.probes.check import Check, ProbeError, Target

CHECKS: Mapping[ProbeKind, Check] = {
    ProbeKind.GRPC: grpc_health.check,
    ProbeKind.TCP: tcp.check,
    ProbeKind.HTTP: http.check,
    ProbeKind.POSTGRES: postgres.check,
    ProbeKind.CLICKHOUSE: clickhouse.check,
    ProbeKind.REDIS: redis.check,
    ProbeKind.NATS: nats.check,
    ProbeKind.KAFKA: kafka.check,
}

# How long a silent one may take to accept a second connection, which tells why it is silent.
_ACCEPT_S = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one probe: no error, or one as a sentence."""

    error: str
    took_ms: float
    note: str = ""

    @property
    def passed(self) -> bool:
        return not self.error


async def ask(kind: ProbeKind, target: Target, timeout_s: float) -> Outcome:
    """Probe once; never raises."""
    began = time.monotonic()
    error = note = ""
    try:
        async with asyncio.timeout(timeout_s):
            note = await CHECKS[kind](target)
    except TimeoutError:
        error = await _why_silent(kind, target, timeout_s)
    except (ProbeError, OSError, EOFError) as failure:
        error = _sentence(failure, target)
    return Outcome(error, (time.monotonic() - began) * 1000, note)


async def _why_silent(kind: ProbeKind, target: Target, timeout_s: float) -> str:
    if kind is not ProbeKind.TCP:
        try:
            async with asyncio.timeout(_ACCEPT_S):
                await tcp.check(target)
        except TimeoutError:
            pass
        except OSError as failure:
            return _sentence(failure, target)
        else:
            return f"it accepted the connection but did not answer within {timeout_s:g} s"
    return f"{target} did not answer within {timeout_s:g} s"


def _sentence(failure: Exception, target: Target) -> str:
    match failure:
        case ProbeError():
            return str(failure)
        case ConnectionRefusedError():
            return f"nothing listens at {target}"
        case EOFError() | ConnectionError():
            return "it closed the connection without an answer"
        case OSError():
            return f"{target} can not be reached: {failure.strerror or failure}"
    return str(failure)
