"""What a condition may name: one table, read by the policy compiler, the loop and the reference.

Facts are a plain mapping from dotted name to value. A name that is absent is *unknown*, which is not
the same as not applicable: where a fact makes no sense it is empty, zero or false.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from modelfence.core.account import SCREENINGS, STATUSES

type FactValue = str | int | float | bool | datetime | list[str] | Mapping[str, str] | Mapping[str, float]
type Facts = Mapping[str, FactValue]


class FactType(StrEnum):
    STRING = "string"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    STRINGS = "list(string)"
    TEXT_BY_NAME = "map(string, string)"
    SHARE_BY_COUNTRY = "map(string, double)"


OPERATIONS: tuple[str, ...] = (
    "chat", "responses", "completion", "embeddings", "image", "audio",
    "moderation", "tokens", "batch", "files", "tuning", "models", "realtime", "unknown",
)  # fmt: skip
CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")
SIGNALS: tuple[str, ...] = (
    "reasoning_elicitation", "judge_rubric", "generator_phrasing", "training_schema", "token_probabilities",
    "logit_probing", "prompt_sweep", "template", "bulk_work", "generator", "around_the_clock", "long_answers",
    "shared_template", "template_in_message", "disjoint_work", "cohort_generator", "even_volumes", "long_work",
    "conversation", "repeated_items", "uneven_volumes", "shared_control", "verified_accounts",
)  # fmt: skip
"""What detection can find in a call, an account or a cohort; what each is worth stands in `extraction.weights`."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One name a condition may use. `always` means that it is known for every call."""

    name: str
    type: FactType
    description: str
    always: bool = False
    values: tuple[str, ...] = ()
    """Each text it, or an item of it, can be; none where that is open."""
    least: float | None = None
    """The smallest number it can be; None where nothing says."""
    most: float | None = None


FACTS: tuple[Fact, ...] = (
    Fact("client.ip", FactType.STRING, "the caller's address, after trusted proxies", always=True),
    Fact("client.country", FactType.STRING, "where the address is, ISO 3166-1 alpha-2"),
    Fact("client.registered_country", FactType.STRING, "where the address's network is registered, which may differ"),
    Fact("client.region", FactType.STRING, "its subdivision, ISO 3166-2 such as UA-43; needs a City database"),
    Fact("client.continent", FactType.STRING, "two-letter continent: AF, AN, AS, EU, NA, OC or SA", values=CONTINENTS),
    Fact("client.eu", FactType.BOOL, "the address is in the European Union"),
    Fact("client.asn", FactType.INT, "number of the autonomous system the address belongs to", least=0),
    Fact("client.network", FactType.STRING, "the organisation behind that autonomous system"),
    Fact("client.anonymous", FactType.BOOL, "the address is a VPN, a proxy, a relay or a Tor exit"),
    Fact("client.vpn", FactType.BOOL, "the address is a VPN's"),
    Fact("client.proxy", FactType.BOOL, "the address is a proxy, open to the public or residential"),
    Fact("client.residential_proxy", FactType.BOOL, "the address is a household's through which others are sent"),
    Fact("client.tor", FactType.BOOL, "the address is a Tor exit"),
    Fact("client.hosting", FactType.BOOL, "the address belongs to a data centre"),
    Fact(
        "geo.database_age_days",
        FactType.INT,
        "days since the database of countries was built, rounded down",
        always=True,
    ),
    Fact("account.id", FactType.STRING, "the account that owns the credential"),
    Fact("account.labels", FactType.TEXT_BY_NAME, "free labels of the account's record"),
    Fact("account.payer", FactType.STRING, "who pays for the account"),
    Fact("account.contact_domain", FactType.STRING, "domain of the account's contact address"),
    Fact("account.signup_batch", FactType.STRING, "with which others the account was made"),
    Fact(
        "account.recent_countries",
        FactType.STRINGS,
        "countries the account called from in the last hour, this call's included: the 8 latest, sorted",
    ),
    Fact(
        "kyc.tier",
        FactType.INT,
        "how far the account is verified, to be compared with `tier.NAME`",
        always=True,
        least=0,
    ),
    Fact(
        "kyc.status",
        FactType.STRING,
        "active, suspended, closed, or unknown without an account",
        always=True,
        values=(*STATUSES, "unknown"),
    ),
    Fact("kyc.country", FactType.STRING, "country of incorporation"),
    Fact(
        "kyc.ownership",
        FactType.SHARE_BY_COUNTRY,
        "share owned from each country, direct and indirect, 0 to 1",
        least=0,
    ),
    Fact("kyc.screening", FactType.STRING, "result of sanctions screening: clear, hit or pending", values=SCREENINGS),
    Fact("kyc.expired", FactType.BOOL, "the verification has run out, so the tier is the lowest"),
    Fact("kyc.purpose", FactType.STRING, "what the account said it uses the models for"),
    Fact("kyc.verified_by", FactType.STRING, "who verified the account"),
    Fact("kyc.days_since_verified", FactType.INT, "whole days since the account was verified", least=0),
    Fact(
        "kyc.days_since_screened",
        FactType.INT,
        "whole days since the date of the lists it was screened against",
        least=0,
    ),
    Fact("request.provider", FactType.STRING, "name of the upstream the call is for", always=True),
    Fact(
        "request.operation",
        FactType.STRING,
        "chat, responses, completion, embeddings, image, audio, moderation, tokens (counting them), batch, files,"
        " tuning, models, realtime or unknown",
        always=True,
        values=OPERATIONS,
    ),
    Fact("request.model", FactType.STRING, "the model asked for, as the upstream will read it"),
    Fact("request.stream", FactType.BOOL, "the answer is asked for as a stream"),
    Fact("request.logprobs", FactType.BOOL, "token probabilities are asked for"),
    Fact("request.logit_bias", FactType.INT, "entries of `logit_bias`", least=0),
    Fact("request.choices", FactType.INT, "answers asked for in one call (`n`)"),
    Fact("request.tools", FactType.INT, "tools offered to the model", least=0),
    Fact("request.reasoning", FactType.BOOL, "reasoning is asked for"),
    Fact("request.input_tokens", FactType.INT, "estimate of the tokens sent", least=0),
    Fact("request.output_tokens", FactType.INT, "the most tokens the call may be answered with"),
    Fact("request.path", FactType.STRING, "path as the upstream will receive it, without the query", always=True),
    Fact("request.method", FactType.STRING, "HTTP method", always=True),
    Fact("request.bytes", FactType.INT, "size of the body, decoded", always=True, least=0),
    Fact(
        "extraction.score",
        FactType.DOUBLE,
        "how much this looks like model extraction, 0 to 1",
        always=True,
        least=0,
        most=1,
    ),
    Fact("extraction.signals", FactType.STRINGS, "names of the signals that fired", always=True, values=SIGNALS),
    Fact("extraction.cohort", FactType.STRING, "accounts that share this call's template; empty in none", always=True),
    Fact("extraction.cohort_accounts", FactType.INT, "accounts in that cohort", always=True, least=0),
    Fact("now", FactType.TIMESTAMP, "time of the call", always=True),
)

WITHOUT_ACCOUNT: Facts = {"kyc.status": "unknown", "account.recent_countries": []}
"""What is known, for want of an account, of every call that has none."""
