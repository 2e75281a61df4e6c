"""Networks that send credentials which are not valid are held off; whose credential is valid is not."""

import pytest
from tests.enforcement.outside import ACME, CUSTOMERS, NOON_US, OPEN, Directory, call

from modelfence.core.account import Account, Check, Found
from modelfence.core.call import Credential, CredentialState
from modelfence.core.decision import Effect
from modelfence.enforcement import probing as module
from modelfence.enforcement.fence import Patience
from modelfence.enforcement.probing import Probing

SECOND_US = 1_000_000
HERE, THERE = "8.8.8.8", "8.8.4.4"


def failing(probing, times, address=HERE, now_us=0):
    for number in range(times):
        probing.failed(address, f"bad-{number}", now_us)


def test_as_many_may_fail_as_the_rate_says_and_then_the_network_waits_for_the_next():
    probing = Probing(60)
    failing(probing, 59)
    assert probing.wait_us(HERE, "new", 0) == 0
    failing(probing, 1)
    assert probing.wait_us(HERE, "new", 0) == SECOND_US
    assert probing.wait_us(THERE, "new", 0) == 0
    assert probing.wait_us(HERE, "new", SECOND_US) == 0


def test_those_that_fail_at_once_make_nobody_wait_for_longer_than_a_minute():
    probing = Probing(60)
    failing(probing, 1_000)
    assert probing.wait_us(HERE, "new", 0) == 60 * SECOND_US


def test_whoever_was_valid_lately_is_looked_at_until_it_fails_itself():
    probing = Probing(60)
    probing.succeeded("good")
    failing(probing, 60)
    assert probing.wait_us(HERE, "good", 0) == 0
    probing.failed(HERE, "good", 0)
    assert probing.wait_us(HERE, "good", 0) > 0


def test_all_of_an_ipv6_network_is_one():
    probing = Probing(1)
    failing(probing, 1, "2001:db8::1")
    assert probing.wait_us("2001:db8::ffff:2", "new", 0) > 0
    assert probing.wait_us("2001:db8:0:1::1", "new", 0) == 0


def test_a_part_of_the_rate_below_one_lets_one_fail():
    probing = Probing(60 / 128)
    assert probing.wait_us(HERE, "new", 0) == 0
    failing(probing, 1)
    assert probing.wait_us(HERE, "new", 0) == 128 * SECOND_US


def test_without_a_rate_nobody_waits():
    probing = Probing(0)
    probing.succeeded("good")
    failing(probing, 1_000)
    assert probing.wait_us(HERE, "new", 0) == 0


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_NETWORKS", 2)
    monkeypatch.setattr(module, "MAX_VALID", 2)
    probing = Probing(1)
    for digest in ("first", "second", "first", "third"):
        probing.succeeded(digest)
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"):
        failing(probing, 1, address)
    assert probing.wait_us("10.0.0.2", "new", 0) == 0
    assert probing.wait_us("10.0.0.1", "second", 0) > 0
    assert probing.wait_us("10.0.0.1", "first", 0) == 0
    assert probing.wait_us("10.0.0.3", "third", 0) == 0


class Counting(Directory):
    asked = 0

    async def find(self, digest: str, at_us: int) -> Found:
        self.asked += 1
        return await super().find(digest, at_us)


async def test_a_network_is_held_off_before_the_directory_is_asked(fence, clock, watcher):
    accounts = Counting(ACME)
    made = fence(CUSTOMERS, accounts=accounts, probing=Probing(3), jitter=1.0)
    assert (await made.judge(call())).decision.admitted
    statuses = [made.refusal(await made.judge(call(f"sk-guess-{number}"))).status for number in range(3)]
    assert statuses == [401, 401, 401]
    asked = accounts.asked
    held = await made.judge(call("sk-guess-4"))
    refusal = made.refusal(held)
    assert (refusal.effect, refusal.status, refusal.retry_after_us) == (Effect.THROTTLE, 429, 22 * SECOND_US)
    assert "without a valid API key" in refusal.message
    assert (accounts.asked, held.found, watcher.seen[-1]) == (asked, Found(Check.UNASKED), held)
    assert (held.country, held.tier, held.decision.policy_hash) == ("US", "none", made.in_force.policy.hash)
    malformed = call(credential=Credential(CredentialState.MALFORMED))
    assert made.refusal(await made.judge(malformed)).status == 429
    assert (await made.judge(call())).decision.admitted, "its key was valid lately"
    assert made.refusal(await made.judge(call(None))).status == 401, "it presents nothing to look up"
    assert made.refusal(await made.judge(call("sk-guess-5", client_ip=THERE))).status == 401
    clock.now_us += 20 * SECOND_US
    assert made.refusal(await made.judge(call("sk-guess-6"))).status == 401


FAILURES = {
    "malformed": call(credential=Credential(CredentialState.MALFORMED)),
    "unknown": call("sk-nobody"),
    "expired": call("sk-expired"),
    "revoked": call("sk-revoked"),
}


class OfEachKind(Directory):
    async def find(self, digest: str, at_us: int) -> Found:
        for check in (Check.EXPIRED, Check.REVOKED):
            if digest == Credential.of(f"sk-{check}").digest:
                return Found(check, ACME)
        return await super().find(digest, at_us)


@pytest.mark.parametrize("failing", FAILURES.values(), ids=FAILURES)
async def test_four_different_facts_have_one_answer_and_count_alike(fence, failing):
    made = fence(CUSTOMERS, accounts=OfEachKind(ACME), probing=Probing(1))
    judged = await made.judge(failing)
    refusal = made.refusal(judged)
    assert (refusal.status, refusal.message) == (401, "The API key is missing, malformed or not known to this service.")
    assert made.refusal(await made.judge(call("sk-next"))).status == 429


@pytest.mark.parametrize(
    ("policy", "accounts", "key"),
    [
        (OPEN, Directory(), "sk-nobody"),
        (f"{CUSTOMERS}mode: shadow\n", Directory(), "sk-nobody"),
        (CUSTOMERS, Directory(), None),
        (CUSTOMERS, Directory(hangs=True), "sk-acme"),
        (CUSTOMERS, Directory(Account("acme", "closed", "basic")), "sk-acme"),
    ],
    ids=["let in", "in shadow", "without one", "not checked", "of a closed account"],
)
async def test_what_is_not_refused_for_its_credential_is_no_failure(fence, policy, accounts, key):
    made = fence(policy, accounts=accounts, probing=Probing(1), patience=Patience(directory_s=0.001))
    before = [await made.judge(call(key)) for _ in range(3)]
    assert Check.UNASKED not in {judged.found.check for judged in before}
    assert (await made.judge(call("sk-other", at_us=NOON_US))).found.check is not Check.UNASKED
