"""What `close` has in common from both sides: which positions are meant, and what is said of those that stay."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import typer
from suho.agent.v1 import agent_pb2
from suho.common.v1 import account_pb2
from suho.trading.v1 import order_pb2, trading_pb2

from cli.answers import Answer
from cli.order_words import account_name
from cli.output import EXIT_REFUSED
from mesh.errors import Reason

T = TypeVar("T")
# An account and what it holds, as the engine and as the agent lists it.
Listed = trading_pb2.AccountPositions | agent_pb2.TerminalPositions


class Held(NamedTuple):
    """A position, and whose."""

    account: account_pb2.AccountRef
    position: order_pb2.Position

    @property
    def title(self) -> str:
        return f"position {self.position.ticket} of {account_name(self.account)}"


class Chosen(NamedTuple):
    """What is to be closed, and why something is not."""

    held: list[Held]
    failed: list[Answer[Any]]


def refuse_unclear(targets: Sequence[str], everything: bool) -> None:
    """Raises BadParameter unless either is given."""
    if targets and everything:
        raise typer.BadParameter(f"give {' '.join(targets)} or --all, not both")
    if not targets and not everything:
        raise typer.BadParameter("say which: tickets or symbols, or --all")


def choose(listed: Sequence[Listed], targets: Sequence[str], unlisted: Sequence[str] = ()) -> Chosen:
    """Positions of ours that bear one of the tickets or symbols; without any all that are ours. What can not be chosen
    keeps nothing else from being closed. `unlisted`: who should be listed and is not, in words."""
    told = [item for item in listed if item.HasField("snapshot")]
    every = [Held(item.account, position) for item in told for position in item.snapshot.positions]
    named = [held for held in every if not targets or _names(held.position) & set(targets)]
    silent = [_silent(item) for item in listed if not item.HasField("snapshot")]
    silent += [Answer("agent", None, f"{words}, nothing was closed there", status=EXIT_REFUSED) for words in unlisted]
    unfit = [why for target in dict.fromkeys(targets) if (why := _unfit(target, every))]
    # Tickets that were all found are nobody else's.
    by_ticket = bool(targets) and all(target.isdecimal() for target in targets)
    failed = unfit if by_ticket and not unfit else [*unfit, *silent]
    return Chosen([held for held in named if held.position.signal_id], failed)


def sort_out(answers: Iterable[Answer[T]]) -> tuple[list[T], list[str], list[Answer[T]]]:
    """Of closes: what came of them, which positions were gone by then, and what failed."""
    done, gone, failed = [], [], []
    for one in answers:
        if one.answer is not None:
            done.append(one.answer)
        elif one.reason is Reason.UNKNOWN_TICKET:
            gone.append(one.of)
        else:
            failed.append(one)
    return done, gone, failed


def tell_gone(gone: Iterable[str]) -> None:
    """They are no failure: what was wanted is so."""
    for title in gone:
        print(f"{title} was closed meanwhile, by its stop or by somebody else: nothing is left to be done")


def _names(position: order_pb2.Position) -> set[str]:
    return {str(position.ticket), position.symbol}


def _unfit(target: str, every: Iterable[Held]) -> Answer[Any] | None:
    meant = [held.position for held in every if target in _names(held.position)]
    failed: Answer[Any] = Answer(target, None, status=EXIT_REFUSED)
    if not meant:
        return replace(failed, because="no position bears this ticket or symbol; `suho positions` lists what there is")
    if any(position.signal_id for position in meant):
        return None
    ticket = meant[0].ticket
    words = f"position {ticket} was not opened here; `suho agent adopt {ticket}` on its PC makes it yours"
    return replace(failed, because=words)


def _silent(item: Listed) -> Answer[Any]:
    words = "what it holds is not known now, so nothing was closed there: do its agent and its terminal run?"
    return Answer(account_name(item.account), None, words, status=EXIT_REFUSED)
