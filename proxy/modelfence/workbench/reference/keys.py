"""For each mapping of a policy an example that has all of its keys, and cases that say what it does.

The cases are in the language of case files, and their names are what readers are told of the example.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

POLICY = "policy.yaml"


@dataclass(frozen=True, slots=True)
class KeyExample:
    """A policy, and what it does."""

    policy: str
    cases: str
    """A case file without the name of the policy."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Files that it includes, by name."""
    more: tuple[str, ...] = ()
    """What else it does, that no case can see."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return the names of its cases."""
        return tuple(re.findall(r"^  - name: (.*)$", self.cases, re.MULTILINE))


FILE = KeyExample(
    """\
version: 1
include: [embargo.yaml]
tiers: [none, known, verified]
lists:
  research_only: [o3-deep-research, o4-mini-deep-research]
access:
  - id: research-needs-verification
    deny: request.model in lists.research_only && kyc.tier < tier.verified
  - id: known-customers
    allow: kyc.status == "active" && kyc.tier >= tier.known
reshape:
  - id: short-answers
    when: kyc.tier < tier.verified
    cap: {output_tokens: 4096}
throttle:
  - id: requests-per-account
    key: account.id
    rate: 60 per minute
""",
    """\
given: {account.id: acme, kyc.status: active, kyc.tier: known, client.country: NO, request.model: gpt-4o}
cases:
  - name: A known customer is let in, for no more than 4096 tokens, and uses one request of 60.
    expect: {effect: allow, rules: [known-customers], cap: {output_tokens: 4096}, charges: {requests-per-account: 1}}
  - name: Once verified, the customer may use the research models, and gets answers of any length.
    given: {kyc.tier: verified, request.model: o3-deep-research}
    expect: {effect: allow, cap: {}}
  - name: Before that, the research models are refused.
    given: {request.model: o3-deep-research}
    expect: {effect: deny, rules: [research-needs-verification]}
  - name: From Iran the customer is let in as well, because `embargo.yaml` is in shadow, and counted as one to refuse.
    given: {client.country: IR}
    expect: {effect: allow, rules: [known-customers], would: deny, shadow_rules: [embargoed-region]}
""",
    beside={
        "embargo.yaml": """\
version: 1
mode: shadow
lists:
  embargoed: [CU, IR, KP]
access:
  - id: embargoed-region
    deny: client.country in lists.embargoed
"""
    },
)

RULE = KeyExample(
    """\
version: 1
access:
  - id: embargoed-region
    description: The countries are those of the list that Legal keeps.
    deny: client.country in ["CU", "IR", "KP"]
    message: This service is not available in your region.
    help_url: https://example.com/regions
  - id: data-centres
    description: First we want to see how many customers this would turn away.
    deny: client.hosting
    mode: shadow
    since: 2026-01-31
  - id: active-customers
    allow: kyc.status == "active"
""",
    """\
given: {kyc.status: active, client.country: NO, client.hosting: false}
cases:
  - name: A caller in Iran is refused, and told the message and the link.
    given: {client.country: IR}
    expect: {effect: deny, rules: [embargoed-region], message: This service is not available in your region.}
  - name: A customer in a data centre is let in, and counted as one whom `data-centres` would refuse.
    given: {client.hosting: true}
    expect: {effect: allow, rules: [active-customers], would: deny, shadow_rules: [data-centres]}
""",
    more=(
        "From 3 March 2026 on, `policy check` warns that `data-centres` has been in shadow for more than 30 days.",
        "`policy explain` shows the descriptions; callers never see them.",
    ),
)

ACCESS = KeyExample(
    """\
version: 1
access:
  - id: no-tor
    deny: client.tor
  - id: active-customers
    allow: kyc.status == "active"
""",
    """\
given: {kyc.status: active, client.tor: false}
cases:
  - name: A customer is let in.
    expect: {effect: allow, rules: [active-customers]}
  - name: A customer who comes through Tor is refused; a deny always wins.
    given: {client.tor: true}
    expect: {effect: deny, rules: [no-tor]}
  - name: So is one for whom it is unknown.
    given: {client.tor: null}
    expect: {effect: deny, rules: [no-tor], unknown: [client.tor]}
  - name: Somebody without an account is refused, by no rule, for none allows the call.
    given: {kyc.status: unknown}
    expect: {effect: deny, rules: []}
""",
)

RESHAPE = KeyExample(
    """\
version: 1
access:
  - id: active-customers
    allow: kyc.status == "active"
reshape:
  - id: no-token-probabilities
    when: kyc.tier < tier.enhanced
    remove: [logprobs, logit_bias]
  - id: one-short-answer
    when: kyc.tier < tier.verified
    cap: {output_tokens: 4096, choices: 1}
  - id: no-reasoning
    when: kyc.tier < tier.verified
    hide: [reasoning]
""",
    """\
given: {kyc.status: active}
cases:
  - name: A customer who is not verified gets one answer of 4096 tokens, without probabilities and reasoning.
    given: {kyc.tier: basic}
    expect: {remove: [logprobs, logit_bias], cap: {output_tokens: 4096, choices: 1}, hide: [reasoning]}
  - name: One who is verified gets no token probabilities.
    given: {kyc.tier: verified}
    expect: {remove: [logprobs, logit_bias], cap: {}, hide: []}
  - name: At the highest tier nothing is changed.
    given: {kyc.tier: enhanced}
    expect: {remove: [], cap: {}, hide: []}
""",
)

THROTTLE = KeyExample(
    """\
version: 1
access:
  - id: active-customers
    allow: kyc.status == "active"
throttle:
  - id: answers-per-account
    when: kyc.tier < tier.verified
    key: account.id
    unit: output_tokens
    rate: 600 per minute
    burst: 4000
    cost: 1.0 + 9.0 * extraction.score
    on_store_failure: local
""",
    """\
given: {account.id: acme, kyc.status: active, kyc.tier: basic, request.output_tokens: 2000}
cases:
  - name: An account may take 4000 tokens at once, then 10 a second; after two answers of 2000 it waits for the next.
    steps:
      - {times: 2, expect: {effect: allow, charges: {answers-per-account: 2000}, keys: {answers-per-account: acme}}}
      - expect: {effect: throttle, rules: [answers-per-account], retry_after: 200s}
      - {after: 200s, expect: {effect: allow}}
  - name: Tokens cost more the more the calls look like extraction, at the most ten times as much.
    given: {extraction.score: 0.1}
    expect: {effect: allow, charges: {answers-per-account: 3800}}
  - name: Verified accounts are not throttled.
    given: {kyc.tier: verified}
    expect: {effect: allow, charges: {}}
""",
    more=(
        "While the store does not answer, each worker counts for itself, with its part of the amounts.",
        "Without `on_store_failure` calls would be refused then.",
    ),
)

EXTRACTION = KeyExample(
    """\
version: 1
access:
  - id: active-customers
    allow: kyc.status == "active"
extraction:
  exempt:
    - 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff   # the help desk's template
""",
    """\
cases:
  - name: Customers are let in.
    given: {kyc.status: active}
    expect: {effect: allow}
""",
    more=("Accounts whose prompts share that template are no cohort; `modelfence extraction` prints fingerprints.",),
)
