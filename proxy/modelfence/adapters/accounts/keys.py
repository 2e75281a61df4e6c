"""The keys of an accounts file and what they hold: what its reader checks, and what the schema for editors says."""

from modelfence.core.account import SCREENINGS, STATUSES
from modelfence.core.call import key_digest
from modelfence.core.countries import COUNTRY_CODE
from modelfence.core.keys import Choice, Date, Either, Flag, Key, ListOf, MapOf, Number, Record, Text

DIGEST = Text(r"sha256:[0-9a-f]{64}")
OF_NOTHING = key_digest("")
"""What is made of a variable that is not set."""
_OF_A_KEY = Text(DIGEST.pattern, without=(OF_NOTHING,))
SHARE = Number(0, 1)
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9\-]*[A-Za-z0-9])?"
DOMAIN = Text(rf"({_LABEL}\.)+(?![0-9]){_LABEL}", examples=("example.com",))

OWNER_KEYS: tuple[Key, ...] = (
    Key("entity", "id of the company of `entities` that owns", value=Text()),
    Key("country", "country that owners are from who are no company here, ISO 3166-1 alpha-2", value=COUNTRY_CODE),
    Key("share", "share owned, 0 to 1", required=True, value=SHARE),
)
_OWNERS = ListOf(Record(OWNER_KEYS, exactly_one=("entity", "country"), title="an owner"))

ENTITY_KEYS: tuple[Key, ...] = (
    Key("id", "name of the company, unique", required=True, value=Text()),
    Key("country", "country of incorporation, ISO 3166-1 alpha-2", required=True, value=COUNTRY_CODE),
    Key("owners", "who owns the company", value=_OWNERS, may_be_null=True),
)

KEY_KEYS: tuple[Key, ...] = (
    Key("digest", "`sha256:` and the 64 digits of the digest, never the key itself", required=True, value=_OF_A_KEY),
    Key("name", "what its account calls it", value=Text()),
    Key("expires", "from this day on it is valid no longer", value=Date()),
    Key("revoked", "true: it is valid no longer", value=Flag()),
)
_KEYS = ListOf(Either((_OF_A_KEY, Record(KEY_KEYS, title="a key"))))

ACCOUNT_KEYS: tuple[Key, ...] = (
    Key("id", "name of the account, unique: `account.id` in conditions", required=True, value=Text()),
    Key("status", "active, suspended or closed", required=True, value=Choice(STATUSES)),
    Key("tier", "one of the policy's tiers", required=True, value=Text(examples=("verified",))),
    Key("keys", "digests of the API keys that the account's callers send", value=_KEYS, may_be_null=True),
    Key("certificates", "fingerprints of client certificates", value=_KEYS, may_be_null=True),
    Key("country", "country of incorporation, ISO 3166-1 alpha-2", value=COUNTRY_CODE, may_be_null=True),
    Key("verified", "day on which the account was verified", value=Date(), may_be_null=True),
    Key("verified_by", "who verified it", value=Text(), may_be_null=True),
    Key("expires", "from this day on the tier is the lowest; left out, never", value=Date(), may_be_null=True),
    Key("owners", "who owns the account; an empty list: nobody known", value=_OWNERS, may_be_null=True),
    Key("screening", "result of sanctions screening", value=Choice(SCREENINGS), may_be_null=True),
    Key("screened", "date of the lists it was screened against", value=Date(), may_be_null=True),
    Key("purpose", "what it uses the models for", value=Text(), may_be_null=True),
    Key(
        "labels",
        "texts of your own, by names of your own",
        value=MapOf(Text(may_be_empty=True), Text(may_be_empty=True)),
        may_be_null=True,
    ),
    Key("payer", "who pays for it", value=Text(), may_be_null=True),
    Key("contact_domain", "domain of its contact address", value=DOMAIN, may_be_null=True),
    Key("signup_batch", "with which others it was made", value=Text(), may_be_null=True),
)

_ACCOUNTS = ListOf(Record(ACCOUNT_KEYS, title="an account"))
_ENTITIES = ListOf(Record(ENTITY_KEYS, title="a company"))
FILE_KEYS: tuple[Key, ...] = (
    Key(
        "accounts",
        "who may call",
        required=True,
        value=_ACCOUNTS,
        may_be_null=True,
    ),
    Key(
        "entities",
        "companies that own accounts, or each other",
        value=_ENTITIES,
        may_be_null=True,
    ),
)
