"""Waiting for what is not there yet."""

import asyncio
import itertools
from contextlib import suppress

import pytest

from mesh import waiting


def test_pauses_grow_up_to_a_limit() -> None:
    """Twice as long each time, give or take the jitter, never beyond the most."""
    pauses = list(itertools.islice(waiting.backoff(1, 4), 6))
    for pause, expected in zip(pauses, (1, 2, 4, 4, 4, 4), strict=True):
        assert expected * 0.8 <= pause <= expected * 1.2


async def test_it_tries_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the named kind are waited out."""
    monkeypatch.setattr(waiting, "backoff", lambda **_: itertools.repeat(0.0))
    tries = itertools.count(1)

    async def attempt() -> int:
        if (number := next(tries)) < 10:
            raise ConnectionError("not yet")
        return number

    assert await waiting.until_available("engine", attempt, (ConnectionError,)) == 10


async def test_another_error_is_not_waited_out() -> None:
    """What waiting can not mend is raised at once."""

    async def attempt() -> None:
        raise PermissionError("wrong password")

    with pytest.raises(PermissionError):
        await waiting.until_available("engine", attempt, (ConnectionError,))


async def test_a_cancellation_that_was_swallowed_is_obeyed() -> None:
    """A loop whose await came back in spite of it ends at its next turn."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            waiting.obey_cancellation()
            turns += 1
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(loop())
        await asyncio.sleep(0)
        task.cancel()
    assert (turns, task.cancelled()) == (1, True)


async def test_whoever_waits_for_an_engine_can_be_cancelled_as_it_fails() -> None:
    """Else a program that is stopped as its engine refuses it would wait on for ever."""
    turns = 0

    async def attempt() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        raise ConnectionError("it failed in the same moment")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(waiting.until_available("engine", attempt, (ConnectionError,)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        task.cancel()
    assert turns == 1
