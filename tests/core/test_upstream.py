"""Which upstream a path is for."""

import pytest

from modelfence.core.upstream import Upstream, choose

AT = ("openai", "https", "a.test", 443)
ALL, SHORT, LONG = (Upstream(name, *AT, prefix=prefix) for name, prefix in (("all", ""), ("a", "/a"), ("ab", "/a/b")))


@pytest.mark.parametrize("upstreams", [(ALL, SHORT, LONG), (LONG, SHORT, ALL), (SHORT, LONG, ALL)], ids=str)
@pytest.mark.parametrize(
    ("path", "chosen", "rest"),
    [
        ("/v1/models", "all", "/v1/models"),
        ("/a/v1/models", "a", "/v1/models"),
        ("/a/b/v1/models", "ab", "/v1/models"),
        ("/a/bc", "a", "/bc"),
        ("/ab", "all", "/ab"),
        ("/a", "a", "/"),
        ("/a/b/", "ab", "/"),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins_in_whatever_order(upstreams, path, chosen, rest):
    found = choose(upstreams, path)
    assert found is not None
    assert (found[0].name, found[1]) == (chosen, rest)


def test_of_two_that_match_alike_the_first_is_meant():
    other = Upstream("other", *AT, prefix="/a")
    found = choose([SHORT, other], "/a/x")
    assert found is not None
    assert found[0] is SHORT


def test_what_no_prefix_matches_is_for_none():
    assert choose([SHORT, LONG], "/v1/models") is None
