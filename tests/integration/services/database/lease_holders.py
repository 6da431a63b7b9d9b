"""Who works while it has a lease."""

import asyncio

from services.database.postgres.lease import while_leased


class LeaseHolders:
    """`working` are those that have the lease at this moment."""

    def __init__(self, tasks: asyncio.TaskGroup, lease: int) -> None:
        self.working: list[str] = []
        self._tasks = tasks
        self._lease = lease

    def start(self, name: str, dsn: str) -> "asyncio.Task[None]":
        """Waits for the lease, and works while it has it."""

        async def work() -> None:
            self.working.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.working.remove(name)

        return self._tasks.create_task(while_leased(dsn, self._lease, name, work))
