"""An address of a node has one spelling, and everything else is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.transport import AddressMalformed, NodeAddress, parse_address

KEY = bytes(range(32))
ports = st.integers(1, 65535)
sockets = st.one_of(
    st.tuples(st.ip_addresses(v=4), ports).map(lambda it: f"{it[0]}:{it[1]}"),
    st.tuples(st.ip_addresses(v=6), ports).map(lambda it: f"[{it[0]}]:{it[1]}"),
)


@given(st.binary(min_size=32, max_size=32), st.lists(sockets, max_size=8).map(tuple))
def test_an_address_comes_back_as_it_was_written(key: bytes, places: tuple[str, ...]) -> None:
    address = NodeAddress(key, places)
    assert parse_address(str(address)) == address


def test_sockets_are_brought_to_one_spelling() -> None:
    spelled = parse_address(f"{KEY.hex().upper()}@[0:0::1]:0443,10.0.0.1:9")
    assert spelled == NodeAddress(KEY, ("[::1]:443", "10.0.0.1:9"))
    assert spelled.sockets[0] == f"[{ipaddress.ip_address('::1')}]:443"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:80",
        KEY.hex(),
        f"{KEY.hex()[:-2]}@127.0.0.1:80",
        f"{'g' * 64}@127.0.0.1:80",
        f"{KEY.hex()}@127.0.0.1",
        f"{KEY.hex()}@127.0.0.1:0",
        f"{KEY.hex()}@127.0.0.1:65536",
        f"{KEY.hex()}@127.0.0.1:8000000000080",
        f"{KEY.hex()}@localhost:80",
        f"{KEY.hex()}@::1:80",
        f"{KEY.hex()}@[127.0.0.1]:80",
        f"{KEY.hex()}@[fe80::1%eth0]:80",
        f"{KEY.hex()}@127.0.0.1:80,",
        f"{KEY.hex()}@" + ",".join(["127.0.0.1:80"] * 9),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressMalformed):
        parse_address(text)


@given(st.text(max_size=100))
def test_noise_only_raises_the_declared_error(text: str) -> None:
    try:
        parse_address(text)
    except AddressMalformed:
        return
    raise AssertionError(f"{text!r} was taken for an address")
