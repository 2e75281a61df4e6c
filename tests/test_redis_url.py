import pytest

from modelfence.redis_url import RedisUrl, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", RedisUrl("server", hosts=(("host", 6379),))),
        ("redis://HOST:1/", RedisUrl("server", hosts=(("host", 1),))),
        ("redis://host:1/5", RedisUrl("server", hosts=(("host", 1),), database=5)),
        ("redis://[::1]", RedisUrl("server", hosts=(("::1", 6379),))),
        ("redis://[::1]:1", RedisUrl("server", hosts=(("::1", 1),))),
        ("rediss://host", RedisUrl("server", is_encrypted=True, hosts=(("host", 6379),))),
        (
            "rediss://host?ssl_ca_certs=/ca.pem&ssl_certfile=/a%20b.pem&ssl_keyfile=/k.pem",
            RedisUrl("server", is_encrypted=True, hosts=(("host", 6379),), ssl_ca_certs="/ca.pem", ssl_certfile="/a b.pem", ssl_keyfile="/k.pem"),
        ),
        ("redis://:p@host", RedisUrl("server", hosts=(("host", 6379),), password="p")),
        ("redis://u:p@host", RedisUrl("server", hosts=(("host", 6379),), username="u", password="p")),
        ("redis://u:p%40%2F%3A,:x@y@host", RedisUrl("server", hosts=(("host", 6379),), username="u", password="p@/:,:x@y")),
        ("redis+cluster://a,b:2,[::1]", RedisUrl("cluster", hosts=(("a", 6379), ("b", 2), ("::1", 6379)))),
        ("rediss+cluster://u:p@a/", RedisUrl("cluster", is_encrypted=True, hosts=(("a", 6379),), username="u", password="p")),
        ("redis+sentinel://a,b:2/main", RedisUrl("sentinel", hosts=(("a", 26379), ("b", 2)), master="main")),
        ("redis+sentinel://a/my%20main/3", RedisUrl("sentinel", hosts=(("a", 26379),), master="my main", database=3)),
        (
            "rediss+sentinel://u:p@a/m?sentinel_username=s&sentinel_password=q%26&ssl_ca_certs=/ca",
            RedisUrl("sentinel", is_encrypted=True, hosts=(("a", 26379),), master="m", username="u", password="p", sentinel_username="s", sentinel_password="q&", ssl_ca_certs="/ca"),
        ),
        ("unix:///run/redis.sock", RedisUrl("socket", path="/run/redis.sock")),
        ("unix://u:p@/run/redis.sock", RedisUrl("socket", path="/run/redis.sock", username="u", password="p")),
    ],
)  # fmt: skip
def test_what_a_url_says(url, expected):
    assert parse(url) == expected


FORM = {
    "redis": "a store is written as redis://HOST:6379/0; in a password",
    "sentinel": "a store is written as redis+sentinel://HOST:26379,HOST:26379/MASTER; in a password",
    "cluster": "a store is written as redis+cluster://HOST:6379,HOST:6379; in a password",
    "unix": "a store is written as unix:///PATH; in a password",
    "once": "each option in the store's query is given once, as NAME=VALUE",
}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "a store is `memory`, or begins with redis://, rediss://"),
        ("host:6379", "or begins with redis://"),
        ("redis:host", "or begins with redis://"),
        ("REDIS://host", "or begins with redis://"),
        ("redis+unix://host", "or begins with redis://"),
        ("redis://", FORM["redis"]),
        ("redis://:1", FORM["redis"]),
        ("redis://host:", FORM["redis"]),
        ("redis://host:0", FORM["redis"]),
        ("redis://host:65536", FORM["redis"]),
        ("redis://host:1:2", FORM["redis"]),
        ("redis://ho st", FORM["redis"]),
        ("redis://host/\n0", FORM["redis"]),
        ("redis://host/a", FORM["redis"]),
        ("redis://host/1/2", FORM["redis"]),
        ("redis://host/-1", FORM["redis"]),
        ("redis://host#0", FORM["redis"]),
        ("redis://a,b", FORM["redis"]),
        ("redis://[::1", FORM["redis"]),
        ("redis://[::z]", FORM["redis"]),
        ("redis://::1", FORM["redis"]),
        ("redis+cluster://", FORM["cluster"]),
        ("redis+cluster://a,", FORM["cluster"]),
        ("redis+cluster://a, b", FORM["cluster"]),
        ("redis+cluster://a/1", FORM["cluster"]),
        ("redis+cluster://u:p@a,u:p@b", FORM["cluster"]),
        ("redis+cluster://u:p,q@a", FORM["cluster"]),
        ("redis+sentinel://a", FORM["sentinel"]),
        ("redis+sentinel://a/", FORM["sentinel"]),
        ("redis+sentinel://a/m/x", FORM["sentinel"]),
        ("unix://host/path", FORM["unix"]),
        ("unix://", FORM["unix"]),
        ("redis://a?ssl_ca_certs=/ca", "an option that does not exist for redis://; there are none"),
        ("rediss://a?ssl_cert_reqs=none", "an option that does not exist for rediss://; they are `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`"),
        ("rediss://a?ssl_check_hostname=false", "they are `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`"),
        ("rediss+cluster://a?sentinel_password=x", "an option that does not exist for rediss+cluster://"),
        ("redis+sentinel://a/m?ssl_ca_certs=/ca", "they are `sentinel_username`, `sentinel_password`"),
        ("redis://a?db", "an option that does not exist"),
        ("rediss://a?ssl_ca_certs", FORM["once"]),
        ("rediss://a?ssl_ca_certs=", FORM["once"]),
        ("rediss://a?ssl_ca_certs=/a&ssl_ca_certs=/b", FORM["once"]),
        ("rediss://a?ssl_ca_certs=ca.pem", "named by its whole path"),
        ("rediss://a?ssl_keyfile=/k", "`ssl_keyfile` in the store's query goes with `ssl_certfile`"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_url_is_said(url, says):
    with pytest.raises(ValueError) as raised:
        parse(url)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["redis://u:hunter2@[", "redis://:hunter/2@host", "rediss://host?hunter2=1", "redis+cluster://hunter2@a/hunter2", "hunter2"],
)  # fmt: skip
def test_nothing_of_a_url_is_repeated(url):
    with pytest.raises(ValueError) as raised:
        parse(url)
    assert "hunter" not in str(raised.value)


def test_a_url_that_was_read_does_not_print_its_passwords():
    assert "hunter2" not in repr(parse("redis+sentinel://hunter2:hunter2@a/m?sentinel_password=hunter2"))
