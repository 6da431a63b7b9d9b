"""The terminals of one account."""

import asyncio
from collections.abc import Mapping, Sequence

from mesh.market import TickId
from pc_agent.domain.books import Books
from pc_agent.domain.symbols import SymbolFacts
from pc_agent.terminal.messages import Command, Connected, HistoryPage, OrderTask, ReadBooks, ReadHistory
from pc_agent.terminal.worker import OrderListener, TerminalWorker, TickListener


class TerminalPool:
    """What executes an account's orders, shows its books and reads its ticks."""

    def __init__(self, workers: Sequence[TerminalWorker]) -> None:
        self.workers = tuple(workers)
        self._first = self.workers[0]

    @property
    def connected(self) -> bool:
        return self._first.connected

    @property
    def facts(self) -> Connected | None:
        return self._first.facts

    @property
    def symbols(self) -> Mapping[str, SymbolFacts]:
        """What may be traded now."""
        return self._first.symbols

    def listen(self, listener: TickListener) -> None:
        """Tell `listener` what is read."""
        self._first.listener = listener

    async def first_facts(self) -> Connected:
        """What the account is, once a terminal has answered."""
        return await self._first.first_facts()

    async def run(self) -> None:
        """Keep the workers until `stop`.

        Raises:
            AccountChangedError: the agent must begin anew.
        """
        async with asyncio.TaskGroup() as tasks:
            for worker in self.workers:
                tasks.create_task(worker.run())

    async def stop(self) -> None:
        """Let the terminals go."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self.workers:
                tasks.create_task(worker.stop())

    def send(self, command: Command) -> None:
        self._first.send(command)

    def send_orders(self, tasks: Sequence[OrderTask], listener: OrderListener) -> None:
        """In this order, ahead of everything else; `listener` hears of each of them until it is done."""
        self._first.send_orders(tasks, listener)

    async def read_books(self, ask: ReadBooks) -> Books | None:
        """The account's books, `ask.request` is given here; None while they can not be read."""
        return await self._first.read_books(ask)

    async def read_history(self, ask: ReadHistory) -> HistoryPage:
        """One page; its `error` says why there is none."""
        return await self._first.read_history(ask)

    async def read_newest(self, symbol: str) -> TickId:
        """The newest tick that the terminal shows; 0/0: none, or the terminal is away."""
        return await self._first.read_newest(symbol)
