"""Asking a port on loopback whether its owner is ready."""

import asyncio
import contextlib


async def answers(port: int, question: bytes, answer: bytes, timeout_s: float = 1.0) -> bool:
    """Whether 127.0.0.1:`port` says `answer`, anywhere in what it says first, after being sent `question`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(question)
                heard = b""
                while answer not in heard and (piece := await reader.read(4096)):
                    heard += piece
                return answer in heard
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
