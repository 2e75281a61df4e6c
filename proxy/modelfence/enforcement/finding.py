"""Whose credential it is: an API key or a certificate is looked up by its digest, and a token is verified first."""

from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import Credential
from modelfence.core.token import of_both
from modelfence.enforcement.ports import AccountDirectory, TokenVerifier


async def find(
    credential: Credential, at_us: int, *, accounts: AccountDirectory, tokens: TokenVerifier | None
) -> Found:
    """Return what is known of a credential that was presented. Raises UnavailableError.

    Without a verifier nothing is a token: what looks like one is an API key. With one, what looks like one is never
    looked up as a key, so that one that was forged can't be found after all.
    """
    if credential.account:  # verified when it was recorded
        return _of(await accounts.get(credential.account))
    if tokens is None or not credential.token:
        return await accounts.find(credential.digest, at_us)
    verified = await tokens.verify(credential, at_us)
    if verified.check is not Check.VALID:
        return Found(verified.check)
    record = await accounts.get(verified.account_id)
    if verified.stated is not None:
        return Found(Check.VALID, of_both(verified.stated, record))
    return _of(record)


def _of(record: Account | None) -> Found:
    return UNKNOWN if record is None else Found(Check.VALID, record)
