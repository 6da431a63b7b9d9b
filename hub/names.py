"""Host names of addresses become IPs here: gRPC's clients refuse names in endpoints."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address

from hub.domain.instance import Address, Instance
from hub.registry import Registry
from mesh.errors import MeshError, Reason
from mesh.log import get_logger

log = get_logger(__name__)

Resolve = Callable[[str], Awaitable[Sequence[str]]]


async def system_resolve(name: str) -> Sequence[str]:
    """What the system knows a name as, IPv4 first: who listens on one family alone listens on that one.

    Raises:
        OSError, UnicodeError: it does not know it.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    families = {str(answer[0]): family for family, _, _, _, answer in found}
    # A link's own address means nothing to others, and nobody can dial 0.0.0.0.
    ips = [ip for ip in families if "%" not in ip and not ip_address(ip).is_unspecified]
    return sorted(ips, key=lambda ip: families[ip] != socket.AF_INET)


class Names:
    """Finds the IPs of addresses.

    Args:
        timeout_s: How long one name may take.
    """

    def __init__(self, timeout_s: float, resolve: Resolve = system_resolve) -> None:
        self._timeout_s = timeout_s
        self._resolve = resolve

    async def placed(self, instance: Instance, before: Instance | None) -> Instance:
        """The instance with an IP for every host.

        A name that does not resolve now keeps the IP that it had, and one that still has that IP among others, too.

        Args:
            before: The instance as it is registered, if it is.

        Raises:
            MeshError: UNREACHABLE; a name has never resolved.
        """
        last = _ips(before) if before is not None else {}
        addresses = [await self._address(address, last) for address in instance.addresses]
        return replace(instance, addresses=tuple(addresses))

    async def _address(self, address: Address, last: Mapping[str, str]) -> Address:
        ip = await self._ip(address.name, address.host, last)
        outside = address.published_host
        return replace(address, ip=ip, published_ip=await self._ip(address.name, outside, last) if outside else "")

    async def _ip(self, address_name: str, host: str, last: Mapping[str, str]) -> str:
        if is_literal(host):
            return host
        known = last.get(host, "")
        try:
            async with asyncio.timeout(self._timeout_s):
                ips = await self._resolve(host)
        except TimeoutError:
            ips, why = (), f"no answer within {self._timeout_s:g} s"
        except (OSError, UnicodeError) as error:
            ips, why = (), getattr(error, "strerror", None) or str(error)
        else:
            why = "it has no address that others can reach"
        if known and (known in ips or not ips):
            return known
        if not ips:
            raise MeshError(
                Reason.UNREACHABLE,
                f"address {address_name!r}: this hub can not resolve {host!r} ({why}); mend it, or register an IP",
            )
        return ips[0]


async def keep_looking_up(registry: Registry, interval_s: float) -> None:
    """Look the names of this hub's instances up again and again, for ever."""
    while True:
        await asyncio.sleep(interval_s)
        for instance_id, (_, record) in list(registry.replica.records().items()):
            if record.owner == registry.hub_id and record.expiry is None and has_names(record.instance):
                try:
                    await registry.look_up(instance_id)
                except MeshError as error:
                    log.warning("a host name is not known any more", instance=instance_id, because=error.message)


def is_literal(host: str) -> bool:
    """Whether it is an IP already."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def has_names(instance: Instance) -> bool:
    """Whether any of its hosts must be looked up."""
    return any(not is_literal(host) for host in _hosts(instance))


def _hosts(instance: Instance) -> list[str]:
    return [host for item in instance.addresses for host in (item.host, item.published_host) if host]


def _ips(instance: Instance) -> Mapping[str, str]:
    pairs = [(item.host, item.ip) for item in instance.addresses]
    pairs += [(item.published_host, item.published_ip) for item in instance.addresses]
    return {host: ip for host, ip in pairs if host and ip}
