"""Streams that are made anew, for tests."""

from nats.aio.client import Client

from compose.embedded.nats import Nats
from tests.support.waiting import eventually


async def delete_stream(engine: Nats, bus: Client, name: str) -> None:
    """Delete a stream, if it is there, so that the next one of its name begins empty.

    NATS answers while files are still being removed. A deletion that meets those of the one before leaves its own,
    which the next stream takes for its messages; and an emptied folder goes also under a stream that is being made.
    """
    files = engine.folder / "jetstream" / "$G" / "streams" / name
    if not files.exists():
        return
    (files.parent / ".kept").touch()
    await bus.jetstream().delete_stream(name)
    await eventually(lambda: not files.with_name(f".{name}").exists(), interval_s=0.001)
