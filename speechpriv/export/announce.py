"""Telling Home Assistant on the same network where the server is, by mDNS: needs the extra
`zeroconf`.
"""

import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlparse

from speechpriv.errors import ConfigError

_SERVICE = "_wyoming._tcp.local."  # what Home Assistant looks for


@asynccontextmanager
async def announced(uri: str, name: str) -> AsyncIterator[None]:
    """Announce the server: while inside, the network is told that `name` answers at `uri`; at the
    end, that it does no longer.

    Args:
      uri: `tcp://HOST:PORT`; with 0.0.0.0, all addresses of this machine are told.
      name: another is made of it if it is taken.

    Raises:
      ConfigError: zeroconf is not installed, or no other machine could reach the address.
    """
    try:
        import ifaddr  # noqa: PLC0415  comes with zeroconf, an extra
        import zeroconf  # noqa: PLC0415
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError("--zeroconf needs the package of that name: pip install 'speechpriv[zeroconf]'.") from error
    own = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    addresses = _addresses(uri, own)
    service = AsyncServiceInfo(_SERVICE, f"{name}.{_SERVICE}", port=urlparse(uri).port, parsed_addresses=addresses)
    try:
        network = AsyncZeroconf(interfaces=addresses)
        await network.async_register_service(service, allow_name_change=True)
    except (OSError, zeroconf.Error) as error:
        raise ConfigError(f"--zeroconf: the network could not be told ({type(error).__name__}).") from error
    try:
        yield
    finally:
        await network.async_close()


def _addresses(uri: str, own: Sequence[str]) -> list[str]:
    """Those at which others reach what listens on `uri`, of this machine's own."""
    parts = urlparse(uri)
    every = parts.hostname == "0.0.0.0"  # noqa: S104  asked for, not chosen
    try:
        found = own if every else [socket.gethostbyname(parts.hostname or "")]
    except OSError:
        found = []
    addresses = [address for address in found if not ipaddress.ip_address(address).is_loopback]
    if parts.scheme != "tcp" or not addresses:
        raise ConfigError(f"uri = {uri!r}: no other machine can reach it. With --zeroconf, use tcp://0.0.0.0:PORT.")
    return addresses
