"""For each fact a condition that asks for it, as an author may want to copy it."""

from dataclasses import dataclass

from modelfence.core.facts import Fact, FactType

LISTS = """\
lists:
  embargoed: [CU, IR, KP]
  sanctioned_regions: [UA-09, UA-14, UA-40, UA-43]
  research_only: [o3-deep-research, o4-mini-deep-research]
  blocked_accounts: [acme-old, acme-test]
  blocked_payers: [card-4711]
  throwaway_domains: [mailinator.com, yopmail.com]
"""
"""The lists that the conditions name."""

NAMED: tuple[Fact, ...] = (
    Fact("kyc.owned_by.LIST", FactType.DOUBLE, "share owned from the countries of a list of the policy, 0 to 1"),
    Fact("lists.NAME", FactType.STRINGS, "the items of a list of the policy", always=True),
    Fact("tier.NAME", FactType.INT, "the place of a tier, 0 for the lowest, to compare `kyc.tier` with", always=True),
)
"""What conditions may name besides facts: a policy's own lists and tiers, which stand for the words in capitals."""


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Facts that readers look for together."""

    title: str
    first_words: tuple[str, ...]
    """How their names begin."""
    about: str
    """When they are unknown, and what else holds for all of them."""


FACT_GROUPS = (
    FactGroup(
        "Where the caller is",
        ("client", "geo"),
        "Unknown where a database does not say it of the address, or is not there. Countries, continents and"
        " `client.eu` come with the fence; the rest needs [databases](geography.md).",
    ),
    FactGroup(
        "Whose account it is",
        ("account",),
        "Unknown for callers without an account, but for `account.recent_countries`, which is then empty; and where the"
        " [record](accounts.md) does not say it. An account without labels has an empty map of them.",
    ),
    FactGroup(
        "How well its owner is known",
        ("kyc",),
        "Unknown for callers without an account, and where the record does not say it. So ask for a fact only of those"
        " from whom it was collected: `kyc.tier >= tier.verified && …`.",
    ),
    FactGroup(
        "What is asked for",
        ("request",),
        "A fact that makes no sense for an operation is empty, zero or false. What can't be read in a call is unknown:"
        " [dialects.md](dialects.md) says what is read. `request.output_tokens` is unknown where neither the call nor"
        " the settings of its upstream have a limit.",
    ),
    FactGroup(
        "Whether it looks like extraction",
        ("extraction",),
        "What [detection](extraction.md) finds is evidence, no proof.",
    ),
    FactGroup(
        "When it is made, and the policy's own names",
        ("now", "lists", "tier"),
        "A policy that names no tiers has `none`, `basic`, `verified` and `enhanced`.",
    ),
)
"""Each fact is in the one that has the first word of its name."""


@dataclass(frozen=True, slots=True)
class FactExample:
    """One condition, under the key of the rule it stands in: deny, allow or when."""

    fact: str
    aim: str
    """What an author wants who writes it."""
    key: str
    condition: str


FACT_EXAMPLES: tuple[FactExample, ...] = (
    FactExample(
        "client.ip", "refuse a network, by how its addresses begin", "deny", 'client.ip.startsWith("203.0.113.")'
    ),
    FactExample("client.country", "refuse callers in embargoed countries", "deny", "client.country in lists.embargoed"),
    FactExample(
        "client.registered_country",
        "refuse networks of embargoed countries, wherever they are used",
        "deny",
        "client.registered_country in lists.embargoed",
    ),
    FactExample(
        "client.region",
        "refuse sanctioned regions, without asking callers elsewhere for theirs",
        "deny",
        'client.country == "UA" && client.region in lists.sanctioned_regions',
    ),
    FactExample(
        "client.continent",
        "let in customers in Europe and North America",
        "allow",
        'client.continent in ["EU", "NA"] && kyc.status == "active"',
    ),
    FactExample("client.eu", "let in customers in the European Union", "allow", 'client.eu && kyc.status == "active"'),
    FactExample(
        "client.asn", "refuse the networks of certain operators, by number", "deny", "client.asn in [64496, 64511]"
    ),
    FactExample(
        "client.network",
        "refuse an operator by name, whatever numbers it has",
        "deny",
        'client.network.contains("Example Hosting")',
    ),
    FactExample(
        "client.anonymous",
        "refuse callers who hide where they are, unless they are verified",
        "deny",
        "client.anonymous && kyc.tier < tier.verified",
    ),
    FactExample(
        "client.vpn",
        "let only the best-known customers come through a VPN",
        "deny",
        "client.vpn && kyc.tier < tier.enhanced",
    ),
    FactExample(
        "client.proxy",
        "refuse callers without an account who come through a proxy",
        "deny",
        'client.proxy && kyc.status == "unknown"',
    ),
    FactExample(
        "client.residential_proxy",
        "refuse calls that come through other people's homes",
        "deny",
        "client.residential_proxy",
    ),
    FactExample("client.tor", "refuse Tor", "deny", "client.tor"),
    FactExample(
        "client.hosting",
        "give callers in data centres a budget of their own, unless they are verified",
        "when",
        "client.hosting && kyc.tier < tier.verified",
    ),
    FactExample(
        "geo.database_age_days",
        "let in only verified customers while the database of countries is old",
        "deny",
        "geo.database_age_days > 30 && kyc.tier < tier.verified",
    ),
    FactExample("account.id", "refuse certain accounts", "deny", "account.id in lists.blocked_accounts"),
    FactExample(
        "account.labels",
        "let in accounts that carry a label of yours",
        "allow",
        'account.labels.plan == "gold" && kyc.status == "active"',
    ),
    FactExample(
        "account.payer",
        "refuse accounts that a blocked card pays for, unless they are verified",
        "deny",
        "account.payer in lists.blocked_payers && kyc.tier < tier.verified",
    ),
    FactExample(
        "account.contact_domain",
        "refuse accounts with a throwaway address, unless they are verified",
        "deny",
        "account.contact_domain in lists.throwaway_domains && kyc.tier < tier.verified",
    ),
    FactExample(
        "account.signup_batch",
        "watch accounts that were made together with ones that were closed",
        "when",
        'account.signup_batch == "2026-01"',
    ),
    FactExample(
        "account.recent_countries",
        "refuse a key that is used in more than three countries within an hour",
        "deny",
        "account.recent_countries.size() > 3",
    ),
    FactExample(
        "kyc.tier",
        "let in customers who are verified at least a little",
        "allow",
        'kyc.tier >= tier.basic && kyc.status == "active"',
    ),
    FactExample(
        "kyc.status",
        "let in active customers, and nobody who is suspended or closed",
        "allow",
        'kyc.status == "active"',
    ),
    FactExample(
        "kyc.country",
        "refuse companies of embargoed countries, wherever they call from",
        "deny",
        "kyc.tier >= tier.verified && kyc.country in lists.embargoed",
    ),
    FactExample(
        "kyc.ownership",
        "refuse companies of which an embargoed country owns a quarter or more",
        "deny",
        "kyc.tier >= tier.verified && kyc.ownership.exists(c, c in lists.embargoed && kyc.ownership[c] >= 0.25)",
    ),
    FactExample(
        "kyc.owned_by.LIST",
        "refuse companies of which embargoed countries together own more than half",
        "deny",
        "kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5",
    ),
    FactExample(
        "kyc.screening",
        "refuse those who were found on a list of sanctions, or not looked for yet",
        "deny",
        'kyc.tier >= tier.basic && kyc.screening != "clear"',
    ),
    FactExample(
        "kyc.expired",
        "tell customers whose verification has run out, by the rule's message",
        "deny",
        'kyc.status == "active" && kyc.expired',
    ),
    FactExample(
        "kyc.purpose",
        "allow batches for the purpose of evaluation only",
        "deny",
        'request.operation == "batch" && kyc.purpose != "evaluation"',
    ),
    FactExample(
        "kyc.verified_by",
        "count nobody as verified on a reseller's word",
        "deny",
        'kyc.tier >= tier.verified && kyc.verified_by.startsWith("reseller")',
    ),
    FactExample(
        "kyc.days_since_verified",
        "refuse those who were verified more than a year ago",
        "deny",
        "kyc.tier >= tier.verified && kyc.days_since_verified > 365",
    ),
    FactExample(
        "kyc.days_since_screened",
        "refuse those who were screened against lists older than a month",
        "deny",
        "kyc.tier >= tier.verified && kyc.days_since_screened > 31",
    ),
    FactExample(
        "request.provider",
        "keep an upstream for verified customers",
        "deny",
        'request.provider == "anthropic" && kyc.tier < tier.verified',
    ),
    FactExample(
        "request.operation",
        "keep batches, files and tuning for verified customers",
        "deny",
        'request.operation in ["batch", "files", "tuning"] && kyc.tier < tier.verified',
    ),
    FactExample(
        "request.model",
        "keep some models, and their dated versions, for verified customers",
        "deny",
        "lists.research_only.exists(name, request.model.startsWith(name)) && kyc.tier < tier.verified",
    ),
    FactExample(
        "request.stream",
        "have long answers streamed, so that they can be cut when a budget is used up",
        "deny",
        "request.output_tokens > 16000 && !request.stream",
    ),
    FactExample(
        "request.logprobs",
        "show token probabilities only to the best-known customers",
        "deny",
        "request.logprobs && kyc.tier < tier.enhanced",
    ),
    FactExample(
        "request.logit_bias",
        "refuse to let a model's probabilities be probed",
        "deny",
        "request.logprobs && request.logit_bias > 0",
    ),
    FactExample(
        "request.choices", "refuse calls that want many answers to one question", "deny", "request.choices > 8"
    ),
    FactExample(
        "request.tools",
        "let only customers give tools to models",
        "deny",
        "request.tools > 0 && kyc.tier < tier.basic",
    ),
    FactExample(
        "request.reasoning",
        "hide what models think from callers who are not verified (`hide: [reasoning]`)",
        "when",
        "request.reasoning && kyc.tier < tier.verified",
    ),
    FactExample(
        "request.input_tokens",
        "keep very long prompts for verified customers",
        "deny",
        "request.input_tokens > 100000 && kyc.tier < tier.verified",
    ),
    FactExample(
        "request.output_tokens",
        "keep very long answers for verified customers, and have others say a limit",
        "deny",
        "request.output_tokens > 32000 && kyc.tier < tier.verified",
    ),
    FactExample("request.path", "refuse a part of an API", "deny", 'request.path.startsWith("/v1/fine_tuning/")'),
    FactExample(
        "request.method",
        "let only the best-known customers delete things",
        "deny",
        'request.method == "DELETE" && kyc.tier < tier.enhanced',
    ),
    FactExample(
        "request.bytes",
        "refuse large bodies of callers without an account",
        "deny",
        'request.bytes > 1000000 && kyc.status == "unknown"',
    ),
    FactExample(
        "extraction.score",
        "refuse what looks very much like extraction, unless the caller is verified",
        "deny",
        "extraction.score > 0.9 && kyc.tier < tier.verified",
    ),
    FactExample(
        "extraction.signals",
        "refuse probing of probabilities by callers who are not verified",
        "deny",
        'kyc.tier < tier.verified && "logit_probing" in extraction.signals',
    ),
    FactExample(
        "extraction.cohort",
        "give accounts that share a suspicious template one budget (`key: extraction.cohort`)",
        "when",
        'extraction.cohort != "" && extraction.score >= 0.5',
    ),
    FactExample(
        "extraction.cohort_accounts",
        "be stricter with a suspicious template that many accounts share",
        "when",
        "extraction.cohort_accounts >= 20 && extraction.score >= 0.5",
    ),
    FactExample(
        "now",
        "let trial accounts in until a date",
        "allow",
        'account.labels.plan == "trial" && now < timestamp("2027-01-01T00:00:00Z")',
    ),
    FactExample(
        "lists.NAME",
        "keep some models for verified customers",
        "deny",
        "request.model in lists.research_only && kyc.tier < tier.verified",
    ),
    FactExample(
        "tier.NAME",
        "let in the best-known customers only",
        "allow",
        'kyc.tier == tier.enhanced && kyc.status == "active"',
    ),
)
"""One for each of `FACTS` and `NAMED`."""
