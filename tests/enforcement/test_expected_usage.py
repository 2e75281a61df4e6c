from modelfence.enforcement.expected_usage import ExpectedUsage


def test_what_was_not_seen_is_assumed():
    assert ExpectedUsage(1024, least_tokens=256).of("acme", "chat") == 1024


def test_an_expectation_has_bounds_on_both_sides():
    expected = ExpectedUsage(1000, least_tokens=250)
    for _ in range(200):
        expected.learn("acme", "chat", 0)
    assert expected.of("acme", "chat") == 250
    expected.learn("acme", "chat", 10**9)
    assert expected.of("acme", "chat") == 16_000
    assert ExpectedUsage(10, least_tokens=250).of("acme", "chat") == 10


def test_the_table_keeps_those_seen_last():
    expected = ExpectedUsage(1000, least_tokens=1, max_entries=2)
    for account in ("one", "two", "one", "three"):
        expected.learn(account, "chat", 5_000)
    assert [expected.of(account, "chat") for account in ("one", "two", "three")] == [5_000, 1_000, 5_000]
