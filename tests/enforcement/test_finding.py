"""A token is verified, and its account looked up at every call; everything else is found by its digest."""

import asyncio
from dataclasses import replace

import pytest
from tests.enforcement.outside import ACME, CUSTOMERS, Directory, call

from modelfence.core.account import Account, Check
from modelfence.core.call import Credential, CredentialState
from modelfence.core.token import Verified
from modelfence.enforcement.fence import Patience
from modelfence.enforcement.ports import UnavailableError

TOKEN = "eyJhbGciOiJub25lIn0.e30.c2ln"


class Tokens:
    def __init__(self, says: Verified | Exception | None) -> None:
        self.says = says

    async def verify(self, credential: Credential, at_us: int) -> Verified:
        assert credential.token == TOKEN
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            await asyncio.Event().wait()
        return self.says


async def found(fence, says, *accounts: Account, key=TOKEN, **directory):
    known = Directory(*accounts, **directory)
    made = fence(CUSTOMERS, accounts=known, tokens=Tokens(says), patience=Patience(directory_s=0.01))
    judged = await made.judge(call(key))
    return judged.found.check, judged.found.owner, made.refusal(judged).status if not judged.decision.admitted else 200


SAID = Account("acme", "active", "verified", "NO")


@pytest.mark.parametrize(
    ("says", "accounts", "expected"),
    [
        (Verified(Check.VALID, "acme"), [ACME], (Check.VALID, ACME, 200)),
        (Verified(Check.VALID, "acme"), [], (Check.UNKNOWN, None, 401)),
        (Verified(Check.VALID, "acme", SAID), [], (Check.VALID, SAID, 200)),
        (Verified(Check.VALID, "acme", SAID), [ACME], (Check.VALID, SAID, 200)),
        (Verified(Check.EXPIRED), [ACME], (Check.EXPIRED, None, 401)),
        (Verified(Check.MALFORMED), [ACME], (Check.MALFORMED, None, 401)),
        (Verified(Check.UNKNOWN, "acme"), [ACME], (Check.UNKNOWN, None, 401)),
        (UnavailableError("no keys"), [ACME], (Check.UNCHECKED, None, 503)),
        (None, [ACME], (Check.UNCHECKED, None, 503)),
    ],
)
async def test_a_token_is_what_the_verifier_says_and_its_account_what_the_directory_says(
    fence, says, accounts, expected
):
    assert await found(fence, says, *accounts) == expected


@pytest.mark.parametrize("status", ["suspended", "closed"])
@pytest.mark.parametrize("stated", [None, SAID])
async def test_an_account_that_the_directory_has_stopped_is_refused_whatever_its_token_says(fence, stated, status):
    check, owner, answered = await found(fence, Verified(Check.VALID, "acme", stated), Account("acme", status, "basic"))
    assert (check, owner.status, answered) == (Check.VALID, status, 403)


@pytest.mark.parametrize("stated", [None, SAID])
async def test_nobody_is_let_in_by_a_token_alone_while_the_directory_does_not_answer(fence, stated):
    says = Verified(Check.VALID, "acme", stated)
    assert await found(fence, says, ACME, hangs=True) == (Check.UNCHECKED, None, 503)


async def test_what_looks_like_a_token_is_never_looked_up_as_a_key(fence):
    directory = Directory()
    directory.accounts[Credential.of(TOKEN).digest] = ACME
    made = fence(CUSTOMERS, accounts=directory, tokens=Tokens(Verified(Check.UNKNOWN)))
    assert (await made.judge(call(TOKEN))).found.check is Check.UNKNOWN
    made = fence(CUSTOMERS, accounts=directory)
    assert (await made.judge(call(TOKEN))).account == ACME


@pytest.mark.parametrize("key", ["sk-acme", "sk-proj.one.two"])
async def test_what_does_not_look_like_a_token_is_a_key(fence, key):
    directory = Directory()
    directory.accounts[Credential.of(key).digest] = ACME
    made = fence(CUSTOMERS, accounts=directory, tokens=Tokens(Exception("never asked")))
    assert (await made.judge(call(key))).account == ACME


def test_a_token_is_shown_nowhere():
    credential = Credential.of(TOKEN)
    assert credential.token == TOKEN
    assert TOKEN not in repr(call(TOKEN))
    assert Credential.of("sk-1").token == ""


@pytest.mark.parametrize(
    ("says", "certificate_of", "expected"),
    [
        (Verified(Check.VALID, "acme"), "acme", (Check.VALID, ACME)),
        (Verified(Check.VALID, "acme", SAID), "acme", (Check.VALID, SAID)),
        (Verified(Check.VALID, "acme"), "globex", (Check.MISMATCHED, None)),
        (Verified(Check.VALID, "acme"), "nobody", (Check.MISMATCHED, None)),
        (Verified(Check.UNKNOWN), "acme", (Check.MISMATCHED, None)),
        (UnavailableError("no keys"), "acme", (Check.UNCHECKED, None)),
    ],
)
async def test_a_token_and_the_certificate_beside_it_have_to_be_of_one_account(fence, says, certificate_of, expected):
    accounts = Directory(ACME, Account("globex", "active", "basic"))
    made = fence(CUSTOMERS, accounts=accounts, tokens=Tokens(says))
    credential = replace(Credential.of(TOKEN), certificate=Credential.of(f"sk-{certificate_of}").digest)
    found = (await made.judge(call(credential=credential))).found
    assert (found.check, found.owner) == expected


async def test_of_a_recording_a_token_is_whose_it_was_found_to_be(fence):
    made = fence(CUSTOMERS, accounts=Directory(ACME), tokens=Tokens(Exception("never asked")))
    recorded = Credential(CredentialState.PRESENTED, Credential.of(TOKEN).digest)
    for account, expected in (("acme", Check.VALID), ("globex", Check.UNKNOWN), ("", Check.UNKNOWN)):
        found = (await made.judge(call(credential=replace(recorded, account=account)))).found
        assert found.check is expected
