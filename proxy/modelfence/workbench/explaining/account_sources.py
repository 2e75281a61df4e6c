"""Where what is known of an account came from: which entry of which record, or why there is none."""

from collections.abc import Mapping

from modelfence.core.account import Account, Check, Found
from modelfence.core.call import Call, CredentialState
from modelfence.core.dates import date_of
from modelfence.core.dialect import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETER
from modelfence.core.policy import Policy
from modelfence.recording.lines import Line
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import Origin, Source
from modelfence.workbench.explaining.inquiry import Inquiry

_ENTRIES = {
    "account.labels": "labels", "account.payer": "payer", "account.contact_domain": "contact_domain",
    "account.signup_batch": "signup_batch", "kyc.status": "status", "kyc.country": "country",
    "kyc.screening": "screening", "kyc.purpose": "purpose", "kyc.verified_by": "verified_by",
}  # fmt: skip
"""Facts that are an entry of the record as it stands there."""
_COMPUTED_FROM = {
    "kyc.ownership": "owners", "kyc.expired": "expires", "kyc.days_since_verified": "verified",
    "kyc.days_since_screened": "screened",
}  # fmt: skip
_RECENT = "account.recent_countries"
_OWNED_BY = "kyc.owned_by."
NOBODY = {
    Check.MISSING: "no API key was given",
    Check.MALFORMED: "the API key is malformed",
    Check.UNKNOWN: "no record has the API key {key}",
    Check.EXPIRED: "the API key {key} has expired",
    Check.REVOKED: "the API key {key} was revoked",
    Check.MISMATCHED: "the API key and the client certificate are not of the same account",
    Check.UNCHECKED: "nobody could look up the API key {key}",
    Check.UNASKED: "the API key {key} was not looked up",
}
"""Why no account calls."""


def account_sources(found: Found, call: Call, desk: Desk, *, found_by: str) -> Mapping[str, Source]:
    """Return where each fact of the account came from, or why it is unknown."""
    policy = desk.parts.policy
    account = found.account
    lists = [f"{_OWNED_BY}{name}" for name in policy.owned_by]
    names = ("kyc.tier", _RECENT, *_ENTRIES, *_COMPUTED_FROM, *lists)
    if account is None:
        nobody = nobody_because(found, call)
        sources = {name: Source(Origin.NOWHERE, nobody) for name in ("account.id", *names)}
        lowest = f"the lowest tier, because {nobody}"
        return sources | {
            "kyc.tier": Source(Origin.COMPUTED, lowest),
            "kyc.status": Source(Origin.COMPUTED, nobody),
            _RECENT: Source(Origin.COMPUTED, f"none, because {nobody}"),
        }
    sources = {name: _of_record(name, account, call, policy, desk) for name in names}
    version = f", version {account.version}" if account.version else ""
    whose = Source(Origin.RECORD, f"{_record(account)}{version}, {desk.place_of_record(account)}, {found_by}")
    return sources | {"account.id": whose}


def nobody_because(found: Found, call: Call) -> str:
    """Return why no account calls, in words."""
    return NOBODY[found.check].format(key=key_shown(call))


def credential_words(inquiry: Inquiry, call: Call) -> str:
    """Return what the caller proved himself with and where it stood, and never the secret itself."""
    if inquiry.account is not None:
        return "given beside the request"
    match call.credential.state:
        case CredentialState.MISSING:
            return "no API key"
        case CredentialState.MALFORMED:
            return f"a malformed API key in {_where(inquiry.line)}"
        case CredentialState.PRESENTED:
            return f"the API key {key_shown(call)} in {_where(inquiry.line)}"


def key_shown(call: Call) -> str:
    """Return by what people tell a key from others: the first digits of its digest."""
    return f"{call.credential.digest.removeprefix('sha256:')[:12]}…"


def _where(line: Line) -> str:
    if line.credential is not None:
        return "`credential` of the line"
    names = [name for name, _ in line.headers if name in CREDENTIAL_HEADERS]
    headers = " and ".join(f"`{name}`" for name in dict.fromkeys(names))
    return f"the header {headers}" if names else f"the parameter `{CREDENTIAL_PARAMETER}` of the query"


def _of_record(name: str, account: Account, call: Call, policy: Policy, desk: Desk) -> Source:  # noqa: PLR0911 - one a kind
    record = _record(account)
    if name == _RECENT:
        return Source(Origin.EVIDENCE, f"countries from which `{account.id}` called in the hour before, and this one")
    if name == "kyc.tier":
        return _of_tier(account, call, policy, record, desk)
    if name.startswith(_OWNED_BY):
        return _of_owners(account, f"`kyc.ownership` and `lists.{name.removeprefix(_OWNED_BY)}`", record, desk)
    if name == "kyc.ownership":
        return _of_owners(account, "the owners and the companies behind them", record, desk)
    if name in _COMPUTED_FROM:
        return _of_date(name, account, record, desk)
    entry = _ENTRIES[name]
    if getattr(account, name.partition(".")[2]) is None:
        return Source(Origin.NOWHERE, f"{record} does not state `{entry}`, {desk.place_of_record(account)}")
    return Source(Origin.RECORD, f"`{entry}` of {record}, {desk.place_of_record(account, entry)}")


def _record(account: Account) -> str:
    return f"the record `{account.id}`"


def _of_tier(account: Account, call: Call, policy: Policy, record: str, desk: Desk) -> Source:
    place = desk.place_of_record(account, "tier")
    if account.expires_us is not None and account.expired(call.at_us):
        place = desk.place_of_record(account, "expires")
        words = f"the lowest, because the verification ran out on {date_of(account.expires_us)}: {record}, {place}"
        return Source(Origin.COMPUTED, words)
    if account.tier not in policy.tiers:
        return Source(
            Origin.COMPUTED, f"the lowest, because the policy has no tier `{account.tier}`: {record}, {place}"
        )
    return Source(Origin.RECORD, f"`tier` of {record}, {place}")


def _of_owners(account: Account, what: str, record: str, desk: Desk) -> Source:
    if account.ownership is None:
        return Source(Origin.NOWHERE, f"{record} does not state `owners`, {desk.place_of_record(account)}")
    return Source(Origin.COMPUTED, f"from {what}: `owners` of {record}, {desk.place_of_record(account, 'owners')}")


def _of_date(name: str, account: Account, record: str, desk: Desk) -> Source:
    entry = _COMPUTED_FROM[name]
    states = {"expires": account.expires_us, "verified": account.verified_us, "screened": account.screened_us}[entry]
    place = desk.place_of_record(account, entry)
    if states is not None:
        return Source(Origin.COMPUTED, f"from `now` and `{entry}` of {record}, {place}")
    if name == "kyc.expired":
        return Source(Origin.COMPUTED, f"{record} does not state `expires`, and so never does, {place}")
    return Source(Origin.NOWHERE, f"{record} does not state `{entry}`, {place}")
