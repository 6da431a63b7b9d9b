"""The worker's process and the pipe to it."""

import asyncio
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from pc_agent.terminal.messages import Command, Event, WorkerTerms
from pc_agent.terminal.worker_process import worker_process

_LAST_WORDS_S = 2.0
# A pipe that has room has room for so much.
_SURELY_FREE_BYTES = 65_536


class WorkerPipe:
    """A worker process and its pipe: one thread reads, one writes, so that the event loop never blocks on it.

    What the pipe surely has room for is written without the thread: it would wait for the interpreter. Nothing else
    is: a hung worker reads nothing, and the loop that waited for it could not end it.
    """

    def __init__(self, terms: WorkerTerms) -> None:
        self._loop = asyncio.get_running_loop()
        self.arrived = asyncio.Event()
        self.ended = asyncio.Event()
        self._inbox: list[Event] = []
        self._outbox: queue.Queue[WorkerTerms | Command | None] = queue.Queue()
        self._process, self._pipe, self.board = worker_process()
        self._outbox.put(terms)
        self.pid = self._process.pid or 0
        threading.Thread(target=self._read, name="worker reader", daemon=True).start()
        threading.Thread(target=self._write, name="worker writer", daemon=True).start()

    def send(self, command: Command) -> None:
        if self._outbox.unfinished_tasks or not written_at_once(self._pipe, command):
            self._outbox.put(command)

    def take(self) -> list[Event]:
        """What has arrived."""
        events, self._inbox = self._inbox, []
        return events

    async def kill(self) -> bool:
        """End the process, however it is; whether all that it had said has arrived."""
        self._outbox.put(None)
        self._process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self.ended.wait()
        # One that the system does not let go yet must not hold up all others; its lock keeps its successor waiting.
        await asyncio.to_thread(self._process.join, _LAST_WORDS_S)
        self._pipe.close()
        return self.ended.is_set()

    def _read(self) -> None:
        pipe: Connection[Command, Event] = self._pipe
        try:
            while True:
                self._tell(self._arrive, pipe.recv())
        except (EOFError, OSError):
            self._tell(self._end)

    def _write(self) -> None:
        try:
            while (command := self._outbox.get()) is not None:
                self._pipe.send(command)
                self._outbox.task_done()
        except OSError:
            return  # the reader sees the end too, and tells

    def _tell(self, what: Callable[..., None], *args: Event) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *args)
        except RuntimeError:
            return  # the loop has closed: nobody listens any more

    def _arrive(self, event: Event) -> None:
        self._inbox.append(event)
        self.arrived.set()

    def _end(self) -> None:
        self.ended.set()
        self.arrived.set()


if sys.platform == "linux":
    import select

    def written_at_once(pipe: "Connection[Command, Event]", command: Command) -> bool:
        """Without ever waiting for who reads. A socket counts as writable while most of its buffer is free."""
        poll = select.poll()
        poll.register(pipe.fileno(), select.POLLOUT)
        if not poll.poll(0):
            return False
        message = pickle.dumps(command)
        if len(message) > _SURELY_FREE_BYTES:
            return False
        with suppress(OSError):  # the reader sees the end too, and tells
            pipe.send_bytes(message)
        return True

else:

    def written_at_once(_: "Connection[Command, Event]", __: Command) -> bool:
        return False  # nobody can tell how much room is in such a pipe
