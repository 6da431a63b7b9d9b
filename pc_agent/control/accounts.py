"""All accounts of the agent at once: what keeps one from being closed keeps no other one open."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mesh.errors import MeshError, Reason
from pc_agent.domain.orders import Account, Entry, OrderState
from pc_agent.orders.account_control import AccountControl

_GONE = frozenset({OrderState.FILLED, OrderState.DONE})


class Accounts:
    """`known`: those whose terminals have answered; `silent`: what the terminals of the others are called.

    Whoever asks may leave, or give up waiting: what was begun goes on, for as long as `run` does.
    """

    def __init__(
        self, known: Callable[[], Sequence[AccountControl]], silent: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self.known = known
        self._silent = silent
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Carry what is asked, for ever."""
        async with self._tasks:
            await asyncio.Event().wait()

    def silent(self) -> list[str]:
        """Of which terminals nobody can tell what they hold, in words."""
        return [f"{title} has not answered yet: what it holds is not known" for title in self._silent()]

    def named(self, account: Account | None) -> list[AccountControl]:
        """That one, or all.

        Raises:
            MeshError: UNKNOWN_ACCOUNT, TERMINAL_AWAY.
        """
        controls = [one for one in self.known() if account in (None, one.account)]
        if not controls and account is not None:
            message = f"no terminal that has answered here has account {account.login} at {account.server!r}"
            raise MeshError(Reason.UNKNOWN_ACCOUNT, message)
        if not controls:
            raise MeshError(Reason.TERMINAL_AWAY, "no terminal has answered yet")
        return controls

    async def close(self, account: Account | None, tickets: Sequence[int], request_id: str) -> list[Entry]:
        """Positions that are ours, all of them when none is named.

        Raises:
            MeshError: UNKNOWN_ACCOUNT; UNKNOWN_TICKET for one that is not open or not ours; TERMINAL_AWAY. What can be
                closed is closed first, and the message tells.
        """
        entries, refused = await self._each(account, lambda one: one.close(tickets, request_id))
        closed = {entry.signal.position for entry in entries}
        if strange := [ticket for ticket in tickets if ticket not in closed and not refused]:
            words = (
                f"position {strange[0]} is not open or not ours; `suho agent positions` lists them, adopt takes over"
            )
            refused.append(MeshError(Reason.UNKNOWN_TICKET, words))
        return _whole(entries, refused)

    async def flatten(self, account: Account | None, request_id: str) -> list[Entry]:
        """Pending orders of ours are removed, positions of ours closed; raises as `close`."""
        return _whole(*await self._each(account, lambda one: one.flatten(request_id)))

    async def _each(
        self, account: Account | None, ask: Callable[[AccountControl], Awaitable[list[Entry]]]
    ) -> tuple[list[Entry], list[MeshError]]:
        """What came of it, and why it is not all, once each has been asked."""
        asked = [ask(one) for one in self.named(account)]
        carried = self._tasks.create_task(_together(asked), name="close")
        answers = await asyncio.shield(carried)
        entries: list[Entry] = []
        refused: list[MeshError] = []
        for answer in answers:
            if isinstance(answer, MeshError):
                refused.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                entries += answer
        if account is None:
            refused += [MeshError(Reason.TERMINAL_AWAY, words) for words in self.silent()]
        return entries, refused


async def _together(asked: Sequence[Awaitable[list[Entry]]]) -> list[list[Entry] | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


def _whole(entries: list[Entry], refused: Sequence[MeshError]) -> list[Entry]:
    """Raises the first of `refused`, with all that is to be said."""
    if refused:
        words = "; ".join([*(one.message for one in refused), *_told(entries)])
        raise MeshError(refused[0].reason, words)
    return entries


def _told(entries: Sequence[Entry]) -> list[str]:
    """What came of what was asked for all the same."""
    gone = [_ticket(entry) for entry in entries if entry.state in _GONE]
    rest = [
        f"{_ticket(entry)} is {entry.state} {entry.result.reason}".rstrip()
        for entry in entries
        if entry.state not in _GONE
    ]
    return [f"closed or removed: {', '.join(gone)}" if gone else "nothing was closed", *rest]


def _ticket(entry: Entry) -> str:
    signal = entry.signal
    return str(signal.position) if signal.position else f"order {signal.order_ticket}"
