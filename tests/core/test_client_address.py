from ipaddress import ip_network

import pytest

from modelfence.core.client_address import MAX_PROXIES, client_address, network_of
from modelfence.core.dialect import MalformedRequestError

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
SPOOFED = "9.9.9.9"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        # A peer nobody trusts is the client, whatever it writes into the header.
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", [SPOOFED], "203.0.113.7"),
        ("203.0.113.7", ["10.0.0.1"], "203.0.113.7"),
        ("203.0.113.7", ["garbage"], "203.0.113.7"),
        ("203.0.113.7", ["10.0.0.1"] * 200, "203.0.113.7"),
        # A trusted peer vouches for the element on the right, and a trusted element for the one left of it.
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2, 10.0.0.3"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7", "10.0.0.2, 10.0.0.3"], "203.0.113.7"),
        ("fd00::1", ["2001:db8::7, fd00::2"], "2001:db8::7"),
        # What stands left of the client is its own invention and is not read.
        ("10.0.0.1", [f"{SPOOFED}, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [SPOOFED, "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [f"{SPOOFED}, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["garbage, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", [f"10.0.0.9, {SPOOFED}, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.9, " * 200 + "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["garbage", "203.0.113.7"], "203.0.113.7"),
        # Where all are trusted it is the leftmost; where there is none, the peer.
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [" , ,\t"], "10.0.0.1"),
        # Empty elements are skipped, and so are spaces and tabs.
        ("10.0.0.1", [",203.0.113.7,, ,"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7", ""], "203.0.113.7"),
        ("10.0.0.1", ["\t203.0.113.7 ,10.0.0.2"], "203.0.113.7"),
        # Ports and zones are left out, and an address has one text.
        ("10.0.0.1", ["203.0.113.7:567"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:80"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0:0:0:0:0:7"], "2001:db8::7"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["[fe80::1%25eth0]:80"], "fe80::1"),
        ("fe80::1%eth0", [], "fe80::1"),
        # IPv4 in IPv6's clothes is IPv4, trusted or not.
        ("::ffff:203.0.113.7", [SPOOFED], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["::ffff:203.0.113.7, ::ffff:10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["[::ffff:cb00:7107]:443"], "203.0.113.7"),
    ],
)
def test_the_client_is_the_first_address_from_the_right_that_is_no_trusted_proxy(peer, forwarded_for, client):
    assert client_address(peer, forwarded_for, PROXIES) == client


@pytest.mark.parametrize(
    "element",
    [
        "garbage", "unknown", "203.0.113", "203.0.113.7.", "203.0.113.07", "0x7f.0.0.1", "3405803783", "203.0.113.7/32",
        "203.0.113.7:", "203.0.113.7:x", "203.0.113.7:70000", "203.0.113.7:123456", "203.0.113.7:-1", "2001:db8::7]",
        "[2001:db8::7", "[2001:db8::7]80", "[]", "[]:80", ":80", "2001:db8::7::1", "for=203.0.113.7", '"203.0.113.7"',
        "203.0.113.7 10.0.0.1", "203.0.113.7;", "\u0663.0.0.1", "localhost", "%", "::1%",
    ],
)  # fmt: skip
@pytest.mark.parametrize("header", ["{}", "203.0.113.7, {}", "203.0.113.7, {}, 10.0.0.2", "203.0.113.7, {}, "])
def test_an_element_that_is_reached_and_is_no_address_is_refused(element, header):
    with pytest.raises(MalformedRequestError) as refused:
        client_address("10.0.0.1", [header.format(element)], PROXIES)
    assert refused.value.status == 400
    assert element not in refused.value.message


def test_proxies_beyond_the_limit_are_refused():
    at_most = ["203.0.113.7", *["10.0.0.2"] * (MAX_PROXIES - 1)]
    assert client_address("10.0.0.1", at_most, PROXIES) == "203.0.113.7"
    with pytest.raises(MalformedRequestError):
        client_address("10.0.0.1", ["203.0.113.7", *["10.0.0.2"] * MAX_PROXIES], PROXIES)
    with pytest.raises(MalformedRequestError):
        client_address("10.0.0.1", ["203.0.113.7" + "," * MAX_PROXIES], PROXIES)


@pytest.mark.parametrize(
    ("trusted", "peer", "client"),
    [
        ("::ffff:10.0.0.0/104", "10.0.0.1", "203.0.113.7"),
        ("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "203.0.113.7"),
        ("::ffff:10.0.0.0/104", "11.0.0.1", "11.0.0.1"),
        ("0.0.0.0/0", "::ffff:10.0.0.1", "203.0.113.7"),
        # Whoever trusts all of IPv6 has not said to trust IPv4, nor the other way round.
        ("::/0", "10.0.0.1", "10.0.0.1"),
        ("::/0", "::ffff:10.0.0.1", "10.0.0.1"),
        ("0.0.0.0/0", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_network_is_trusted_in_the_family_it_speaks_of(trusted, peer, client):
    assert client_address(peer, ["203.0.113.7"], [ip_network(trusted)]) == client


def test_nothing_is_trusted_unless_it_is_named():
    assert client_address("127.0.0.1", [SPOOFED], []) == "127.0.0.1"


def test_a_peer_that_is_no_address_is_an_error_of_the_fence_itself():
    with pytest.raises(ValueError, match="socket"):
        client_address("/run/socket", [], [])


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ],
)
def test_what_a_caller_cannot_change_at_will(ip, network):
    assert network_of(ip) == network
