"""Before a call: does a gRPC server listen there, and with or without TLS? gRPC itself says only UNAVAILABLE."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cli.call_failure import CallError, Layer

# What every HTTP/2 client sends first, with empty SETTINGS; a server's first frame is its SETTINGS (type 4).
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_HEADER = 9
_SETTINGS = 4
_TLS_ALERT = b"\x15\x03"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def check_server(address: str, tls: bool, ca: Path | None, timeout_s: float) -> None:
    """Return when an HTTP/2 server answers at `address` (host:port) in the way asked for.

    Raises:
        CallError: UNREACHABLE or TLS, saying what is there instead.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if tls:
                await _check_tls(address, _context(ca))
            else:
                await _check_plain(address)
    except TimeoutError:
        raise _unreachable(f"nothing at {address} answers as a gRPC server within {timeout_s:g} s") from None
    except socket.gaierror as error:
        raise _unreachable(f"the name in {address} is not known: {error.strerror}") from None
    except ConnectionRefusedError:
        raise _unreachable(f"nothing listens at {address}") from None
    except OSError as error:
        raise _unreachable(f"{address} can not be reached: {error}") from None


async def _check_plain(address: str) -> None:
    first = await _first_bytes(address)
    if len(first) == _FRAME_HEADER and first[3] == _SETTINGS:
        return
    if first.startswith(_TLS_ALERT) or (not first and await _shakes_hands(address)):
        raise CallError(Layer.TLS, f"{address} speaks TLS, and was called in plain text", "add --tls, and --ca FILE")
    if first.startswith(b"HTTP/1"):
        raise _unreachable(f"{address} speaks HTTP/1, not gRPC")
    raise _unreachable(f"what listens at {address} is no gRPC server")


async def _check_tls(address: str, context: ssl.SSLContext) -> None:
    try:
        first = await _first_bytes(address, context)
    except ssl.SSLCertVerificationError as error:
        raise CallError(
            Layer.TLS,
            f"the certificate of {address} is not trusted: {error.verify_message}",
            "--ca FILE names the authority that signed it",
        ) from None
    except (ssl.SSLError, ConnectionError) as error:
        if isinstance(error, ConnectionRefusedError):
            raise
        if await _speaks_plain(address):
            raise CallError(Layer.TLS, f"{address} speaks plain text, not TLS", "leave --tls out") from None
        raise CallError(Layer.TLS, f"no TLS with {address}: {getattr(error, 'reason', None) or error}") from None
    if len(first) != _FRAME_HEADER or first[3] != _SETTINGS:
        raise _unreachable(f"what listens at {address} speaks TLS, and is no gRPC server")


async def _speaks_plain(address: str) -> bool:
    """It answers HTTP/2 without TLS; else whatever it is, it is not that."""
    try:
        first = await _first_bytes(address)
    except OSError:
        return False
    return len(first) == _FRAME_HEADER and first[3] == _SETTINGS


async def _shakes_hands(address: str) -> bool:
    """Whoever it is."""
    context = _context(None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with _connected(address, context):
            return True
    except OSError:  # ssl.SSLError is one
        return False


async def _first_bytes(address: str, context: ssl.SSLContext | None = None) -> bytes:
    """The header of the server's first frame, or less where it ended before."""
    async with _connected(address, context) as (reader, writer):
        writer.write(_HELLO)
        try:
            return await reader.readexactly(_FRAME_HEADER)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionResetError:
            if context is not None:
                raise
            return b""


@asynccontextmanager
async def _connected(address: str, context: ssl.SSLContext | None) -> AsyncIterator[Streams]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()  # TLS's polite end waits for a server that may not answer it
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    return context


def _unreachable(message: str) -> CallError:
    return CallError(
        Layer.UNREACHABLE, message, "`suho instances` lists addresses; `suho call --instance ID` needs none"
    )
