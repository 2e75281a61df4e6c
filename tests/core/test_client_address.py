from ipaddress import ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelfence.core.client_address import (
    FORWARDED,
    FORWARDED_FOR,
    MAX_PROXIES,
    SINGLE_HEADERS,
    client_address,
    network_of,
    parse_address,
)
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


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["for=203.0.113.7"], "203.0.113.7"),
        (["For=203.0.113.7;proto=https;by=10.0.0.1;host=a.test"], "203.0.113.7"),
        (['proto=https;for="203.0.113.7:4711"'], "203.0.113.7"),
        (['for="203.0.113.7:_port.of-ours"'], "203.0.113.7"),
        (['for="[2001:db8::7]:4711"'], "2001:db8::7"),
        (['for="[2001:DB8::7]"'], "2001:db8::7"),
        (['for="[::ffff:203.0.113.7]"'], "203.0.113.7"),
        ([r'for="\203.0.113.\7"'], "203.0.113.7"),
        (["for=203.0.113.7 ,\tfor=10.0.0.2, for=10.0.0.3;by=_us"], "203.0.113.7"),
        (["for=203.0.113.7", "for=10.0.0.2"], "203.0.113.7"),
        (["for=203.0.113.7; proto=http;, ,"], "203.0.113.7"),
        (['for=203.0.113.7;host="a, for=10.0.0.9"'], "203.0.113.7"),
        ([r'for=203.0.113.7;host="\", for=9.9.9.9"'], "203.0.113.7"),
        ([r'for=203.0.113.7;host="\\"'], "203.0.113.7"),
        ([r'for=9.9.9.9, for=203.0.113.7;host="a"'], "203.0.113.7"),
        ([r'for=9.9.9.9, for=203.0.113.7;host="\","'], "203.0.113.7"),
        ([r'for=9.9.9.9, for=203.0.113.7;host="\\"'], "203.0.113.7"),
        ([r'for=203.0.113.7;host="a\\\", for=9.9.9.9"'], "203.0.113.7"),
        (["for=10.0.0.3, for=10.0.0.2"], "10.0.0.3"),
        ([""], "10.0.0.1"),
        # What stands left of the client is its own invention: a quote that it leaves open swallows nothing.
        (["for=9.9.9.9, for=203.0.113.7"], "203.0.113.7"),
        (["for=unknown, for=203.0.113.7"], "203.0.113.7"),
        (['for="9.9.9.9, for=203.0.113.7'], "203.0.113.7"),
        (['for="9.9.9.9', "for=203.0.113.7, for=10.0.0.2"], "203.0.113.7"),
        (["for=9.9.9.9;\\, for=203.0.113.7"], "203.0.113.7"),
        (['by="' + "\\" * 50_000 + '", for=203.0.113.7'], "203.0.113.7"),
    ],
)
def test_the_forwarded_header_is_read_from_the_right_over_trusted_proxies(values, client):
    assert client_address("10.0.0.1", values, PROXIES, FORWARDED) == client
    assert client_address(SPOOFED, values, PROXIES, FORWARDED) == SPOOFED


@pytest.mark.parametrize(
    "element",
    [
        "for=unknown", "for=_hidden", 'for="_hidden:1"', "for=", 'for=""', "by=203.0.113.7", "203.0.113.7", "for",
        "for=203.0.113.7;for=203.0.113.7", "for=203.0.113.7:80", "for=[2001:db8::7]", 'for="2001:db8::7"',
        'for="[203.0.113.7]"', 'for="[2001:db8::7"', 'for="203.0.113.7', "for=203.0.113.7 for=10.0.0.2",
        "for = 203.0.113.7", "for=203.0.113.7/32", 'for="203.0.113.7:port"', "for='203.0.113.7'", "for=localhost",
        'for="203.0.113.7"x', 'for="\u0663.0.0.1"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("header", ["{}", "for=203.0.113.7, {}", "for=203.0.113.7, {}, for=10.0.0.2"])
def test_a_forwarded_element_that_hides_the_client_or_names_none_is_refused(element, header):
    with pytest.raises(MalformedRequestError) as refused:
        client_address("10.0.0.1", [header.format(element)], PROXIES, FORWARDED)
    assert (refused.value.status, refused.value.message) == (400, "Forwarded holds something that is no address.")


def test_what_has_no_end_in_a_forwarded_header_is_read_in_no_time():
    for text in ('"' * 60_000, '\\"' * 30_000, '"' + "\\" * 60_000 + '"', "for=1.2.3.4;" * 5_000, "a=" * 30_000):
        with pytest.raises(MalformedRequestError):
            client_address("10.0.0.1", [text], PROXIES, FORWARDED)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    written=st.lists(st.text(st.sampled_from('for=;,"\\\\ 19.[]:_x'), max_size=30), max_size=3),
    header=st.sampled_from([FORWARDED_FOR, FORWARDED]),
    hops=st.integers(0, 3),
    lines=st.booleans(),
)
@example(written=['for="'], header=FORWARDED, hops=0, lines=False)
def test_nothing_that_a_client_writes_changes_what_proxies_say_of_it(written, header, hops, lines):
    appended = ["203.0.113.7", *["10.0.0.2"] * hops]
    if header == FORWARDED:
        appended = [f'for="{address}:80";host="a, b";by=_us' for address in appended]
    values = [*written, *appended] if lines else [", ".join([*written, *appended])]
    assert client_address("10.0.0.1", values, PROXIES, header) == "203.0.113.7"


@pytest.mark.parametrize("client", ["203.0.113.7", "2001:db8::7", "10.0.0.9"])
@pytest.mark.parametrize("header", sorted(SINGLE_HEADERS))
def test_a_header_that_holds_the_client_alone_is_believed_from_trusted_proxies(header, client):
    assert client_address("10.0.0.1", [client], PROXIES, header) == client
    assert client_address(SPOOFED, [client], PROXIES, header) == SPOOFED
    assert client_address("10.0.0.1", [], PROXIES, header) == "10.0.0.1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["203.0.113.7", "203.0.113.7"], "x-real-ip is there more than once."),
        (["203.0.113.7, 10.0.0.2"], "x-real-ip holds something that is no address."),
        ([""], "x-real-ip holds something that is no address."),
        (["unknown"], "x-real-ip holds something that is no address."),
    ],
)
def test_a_header_that_should_hold_the_client_alone_and_does_not_is_refused(values, message):
    with pytest.raises(MalformedRequestError) as refused:
        client_address("10.0.0.1", values, PROXIES, "x-real-ip")
    assert (refused.value.status, refused.value.message) == (400, message)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::8.8.8.8", "8.8.8.8"),
        # Nobody outside becomes a proxy by taking the name of a private address.
        ("64:ff9b::10.0.0.1", "64:ff9b::a00:1"),
        ("64:ff9b:1::8.8.8.8", "64:ff9b:1::808:808"),
        ("2002:808:808::1", "2002:808:808::1"),
        ("2001:0:808:808::1", "2001:0:808:808::1"),
        ("::8.8.8.8", "::808:808"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_ipv4_in_the_clothes_of_ipv6_is_ipv4(written, address):
    assert str(parse_address(written)) == address


def test_proxies_beyond_the_limit_are_refused():
    at_most = ["203.0.113.7", *["10.0.0.2"] * (MAX_PROXIES - 1)]
    assert client_address("10.0.0.1", at_most, PROXIES) == "203.0.113.7"
    with pytest.raises(MalformedRequestError):
        client_address("10.0.0.1", ["203.0.113.7", *["10.0.0.2"] * MAX_PROXIES], PROXIES)
    with pytest.raises(MalformedRequestError):
        client_address("10.0.0.1", ["203.0.113.7" + "," * MAX_PROXIES], PROXIES)
    with pytest.raises(MalformedRequestError):
        client_address("10.0.0.1", [f"for=203.0.113.7{',for=10.0.0.2' * MAX_PROXIES}"], PROXIES, FORWARDED)


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
