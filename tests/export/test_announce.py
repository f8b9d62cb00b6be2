import asyncio
import builtins

import pytest

from speechpriv.errors import ConfigError
from speechpriv.export import announce

zeroconf = pytest.importorskip("zeroconf.asyncio")
SERVICE = "_wyoming._tcp.local."


def test_home_assistant_finds_the_server_while_it_is_there_and_not_afterwards():
    """Over real multicast, where this machine has a network."""

    async def find(wait_ms):
        async with zeroconf.AsyncZeroconf() as network:
            return await network.async_get_service_info(SERVICE, f"lamp-test.{SERVICE}", wait_ms)

    async def both():
        async with announce.announced("tcp://0.0.0.0:10345", "lamp-test"):
            there = await find(5_000)
        return there, await find(500)

    try:
        there, gone = asyncio.run(both())
    except ConfigError as error:
        pytest.skip(f"no network: {error}")
    assert there.port == 10345
    assert there.parsed_addresses()
    assert not any(address.startswith("127.") for address in there.parsed_addresses())
    assert gone is None


@pytest.mark.parametrize("uri", ["tcp://127.0.0.1:10300", "tcp://localhost:10300", "tcp://no.such.host.invalid:1"])
def test_an_address_that_others_cannot_reach_is_not_announced(uri):
    with pytest.raises(ConfigError, match=r"use tcp://0\.0\.0\.0:PORT"):
        announce._addresses(uri, ["192.0.2.2", "127.0.0.1"])
    assert announce._addresses("tcp://0.0.0.0:1", ["192.0.2.2", "127.0.0.1"]) == ["192.0.2.2"]
    assert announce._addresses("tcp://192.0.2.7:1", []) == ["192.0.2.7"]
    with pytest.raises(ConfigError):
        announce._addresses("unix:///run/speech", ["192.0.2.2"])


def test_without_the_extra_it_is_named(monkeypatch):
    imported = builtins.__import__

    def without(name, *arguments, **named):
        if name == "zeroconf":
            raise ImportError(name)
        return imported(name, *arguments, **named)

    async def told():
        async with announce.announced("tcp://0.0.0.0:10300", "lamp"):
            pass

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"speechpriv\[zeroconf\]"):
        asyncio.run(told())
