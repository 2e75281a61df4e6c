"""What verifies tokens, from settings: where the keys come from, and on which terms they are asked."""

from collections.abc import Callable

from modelfence.adapters.tokens.keys import HeldKeys, KeySet
from modelfence.adapters.tokens.published_keys import Outcome, PublishedKeys
from modelfence.adapters.tokens.verifier import Tokens
from modelfence.core.bucket import SECOND_US
from modelfence.core.token import Terms
from modelfence.settings import Jwt

type Source = HeldKeys | PublishedKeys


def keys_of(jwt: Jwt, held: KeySet | None, *, count: Callable[[Outcome], None]) -> Source | None:
    """Return where the keys come from; None where there are no tokens. `held` are those of the settings' file."""
    if held is not None:
        return HeldKeys(held)
    return PublishedKeys(jwt.keys, count=count) if isinstance(jwt.keys, str) else None


def tokens_of(jwt: Jwt, source: Source | None) -> Tokens | None:
    """Return what verifies tokens with these keys."""
    if source is None:
        return None
    terms = Terms(
        jwt.issuer,
        frozenset(jwt.audience),
        account=jwt.account,
        facts=jwt.claims,
        leeway_us=jwt.leeway_s * SECOND_US,
    )
    return Tokens(terms, jwt.algorithms, source)
