"""What is asked of all accounts at the PC: one that can not keeps no other one open."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from mesh.errors import MeshError, Reason
from mesh.orders import Kind
from pc_agent.control.accounts import Accounts
from pc_agent.domain.orders import Account, Entry, OrderState, Result
from pc_agent.orders.account_control import AccountControl
from tests.support import eventually
from tests.unit.pc_agent.executing import signal


class Control:
    """An account with one position, 10 times its login."""

    def __init__(self, login: int, outcome: Result | Exception, meets: asyncio.Barrier | None = None) -> None:
        self.account = Account("s", login)
        self.closed: list[str] = []
        self._outcome = outcome
        self._meets = meets

    async def flatten(self, request_id: str) -> list[Entry]:
        return await self.close([], request_id)

    async def close(self, tickets: Sequence[int], request_id: str) -> list[Entry]:
        if self._meets:
            await self._meets.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        for _ in range(5):  # a broker takes longer than a failure
            await asyncio.sleep(0)
        self.closed.append(request_id)
        own = signal(f"local-{request_id}", kind=Kind.CLOSE, position=self.account.login * 10, account=self.account)
        return [Entry(own, self._outcome, 1)] if not tickets or own.position in tickets else []


AWAY = MeshError(Reason.TERMINAL_AWAY, "the terminal of 1 at s does not show its books now")
FILLED, REFUSED = Result(OrderState.FILLED), Result(OrderState.REJECTED, "MARKET_CLOSED")


@asynccontextmanager
async def accounts(*controls: Control, silent: Sequence[str] = ()) -> AsyncIterator[Accounts]:
    made = Accounts(lambda: cast("Sequence[AccountControl]", controls), lambda: silent)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(made.run())
        await asyncio.sleep(0)
        yield made
        running.cancel()


async def test_one_terminal_that_is_away_keeps_no_other_account_open() -> None:
    """All are asked at once; the error comes behind, with what was closed and what was not."""
    meets = asyncio.Barrier(3)
    away, well, refused = Control(1, AWAY, meets), Control(2, FILLED, meets), Control(3, REFUSED, meets)
    async with accounts(away, well, refused) as all_of_them, asyncio.timeout(30):
        for ask in (all_of_them.flatten(None, "f"), all_of_them.close(None, [], "c")):
            with pytest.raises(MeshError) as told:
                await ask
            assert told.value.reason is Reason.TERMINAL_AWAY
            assert told.value.message == f"{AWAY.message}; closed or removed: 20; 30 is REJECTED MARKET_CLOSED"
    assert well.closed == ["f", "c"]


async def test_a_failure_of_another_kind_is_raised_when_the_others_are_closed() -> None:
    well = Control(2, FILLED)
    async with accounts(Control(1, OSError("disk full")), well) as found:
        with pytest.raises(OSError, match="disk"):
            await found.flatten(None, "f")
    assert well.closed == ["f"]


async def test_a_terminal_that_never_answered_is_not_called_flat() -> None:
    """Nobody knows what it holds; who names another account is not troubled with it."""
    async with accounts(Control(2, FILLED), silent=["terminal north"]) as found:
        with pytest.raises(MeshError, match=r"terminal north has not answered yet: .*; closed or removed: 20") as told:
            await found.flatten(None, "f")
        assert told.value.reason is Reason.TERMINAL_AWAY
        (entry,) = await found.flatten(Account("s", 2), "f")
        assert entry.signal.position == 20
    async with accounts(silent=["terminal north"]) as found:
        with pytest.raises(MeshError, match="no terminal has answered yet"):
            await found.close(None, [], "c")


async def test_a_ticket_that_is_gone_holds_up_no_other_one() -> None:
    """What was named and is open is closed; then it is said which was not there."""
    well = Control(2, FILLED)
    async with accounts(well) as found:
        with pytest.raises(MeshError, match=r"position 7 is not open or not ours.*; closed or removed: 20") as told:
            await found.close(None, [7, 20], "c")
    assert (told.value.reason, well.closed) == (Reason.UNKNOWN_TICKET, ["c"])


async def test_an_account_nobody_has_here_is_said_so() -> None:
    async with accounts(Control(2, FILLED)) as found:
        with pytest.raises(MeshError, match="has account 9 at 's'") as told:
            await found.close(Account("s", 9), [], "c")
    assert told.value.reason is Reason.UNKNOWN_ACCOUNT


async def test_a_flatten_goes_on_when_whoever_asked_for_it_leaves() -> None:
    """His call is called off; what he asked for is not."""
    meets = asyncio.Barrier(2)
    well = Control(2, FILLED, meets)
    async with accounts(well) as found, asyncio.TaskGroup() as tasks:
        call = tasks.create_task(found.flatten(None, "f"))
        await eventually(lambda: meets.n_waiting)
        call.cancel()
        await meets.wait()
        await eventually(lambda: well.closed == ["f"])
