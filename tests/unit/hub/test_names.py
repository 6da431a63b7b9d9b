"""Host names of addresses become IPs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hub.domain.instance import Address, Instance
from hub.names import Names, has_names, system_resolve
from mesh.errors import MeshError, Reason


class Answers:
    """What names resolve to; a missing one fails."""

    def __init__(self, **ips: Sequence[str]) -> None:
        self.ips = dict(ips)

    async def __call__(self, name: str) -> Sequence[str]:
        if name not in self.ips:
            raise OSError(-2, "Name or service not known")
        return self.ips[name]


def named(host: str = "db", published: str = "") -> Instance:
    return Instance("database-1", "database", addresses=(Address("grpc", host, 8008, published),))


async def test_literals_are_their_own_ips_and_names_are_looked_up() -> None:
    """Inside and published hosts alike."""
    names = Names(30.0, Answers(db=["10.0.0.7"], outside=["192.0.2.1"]))
    (address,) = (await names.placed(named("127.0.0.1"), None)).addresses
    assert (address.ip, address.published_ip) == ("127.0.0.1", "")
    (address,) = (await names.placed(named("db", "outside"), None)).addresses
    assert (address.host, address.ip, address.published_ip) == ("db", "10.0.0.7", "192.0.2.1")
    assert has_names(named("db"))
    assert not has_names(named("::1", "127.0.0.1"))


async def test_a_name_that_never_resolved_is_refused_in_words() -> None:
    """Not for good: it may resolve a moment later."""
    with pytest.raises(MeshError, match=r"can not resolve 'db' \(Name or service not known\)") as refused:
        await Names(30.0, Answers()).placed(named(), None)
    assert refused.value.reason is Reason.UNREACHABLE


async def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:
    """Beyond its time."""

    async def silent(name: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(MeshError, match=r"no answer within 0\.01 s"):
        await Names(0.01, silent).placed(named(), None)


async def test_an_ip_stays_while_it_is_among_the_answers_or_there_is_none() -> None:
    """Only another answer moves it."""
    answers = Answers(db=["10.0.0.7"])
    names = Names(30.0, answers)
    first = await names.placed(named(), None)
    for ips in (["10.0.0.1", "10.0.0.7"], []):
        answers.ips["db"] = ips
        assert await names.placed(named(), first) == first
    del answers.ips["db"]
    assert await names.placed(first, first) == first
    answers.ips["db"] = ["10.0.0.9"]
    moved = await names.placed(first, first)
    assert moved == replace(first, addresses=(replace(first.addresses[0], ip="10.0.0.9"),))


async def test_the_system_resolves() -> None:
    """IPv4 first; what is no name is an error like any other."""
    assert (await system_resolve("localhost"))[0] == "127.0.0.1"
    for wrong in ("no-such-host.invalid", "a..b"):
        with pytest.raises(MeshError):
            await Names(5.0).placed(named(wrong), None)
