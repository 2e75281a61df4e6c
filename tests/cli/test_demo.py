"""`modelfence demo`: everyone meets the fate the policy says, and the demo notices when not."""

from dataclasses import replace

from modelfence.core.decision import Effect
from modelfence.demo.callers import CALLERS
from modelfence.demo.scoreboard import Scoreboard


def test_each_caller_meets_the_fate_the_policy_says(modelfence):
    ended = modelfence("demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Each caller met the fate the policy says." in ended.stdout
    for caller in CALLERS:
        assert caller.name in ended.stdout
    for rule in (
        "embargoed-region",
        "deep-research-needs-verification",
        "requests-per-account",
        "active-customers",
        "output-tokens-per-campaign",
    ):
        assert rule in ended.stdout
    assert "Traceback" not in ended.stderr
    assert "/v1/chat/completions" in ended.stdout


def test_a_caller_who_was_not_seen_is_a_surprise():
    (surprise, *_) = Scoreboard(CALLERS[:1]).surprises()
    assert surprise.startswith("acme: allow by active-customers expected, met nothing")


def test_the_callers_show_every_fate():
    assert {caller.fate for caller in CALLERS} == {Effect.ALLOW, Effect.DENY, Effect.THROTTLE}
    assert len({caller.country for caller in CALLERS}) >= 4
    assert replace(CALLERS[0], name="x").key == "sk-demo-x"
