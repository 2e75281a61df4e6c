"""Pages on the file as YAML and its keys."""

from modelfence.workbench.problems.page import Page

_LONG = " ".join(["Organisations owned by more than half from embargoed countries are refused."] * 14)

_OWNERS = (
    "version: 1\nlists:\n  embargoed: [CU, IR, KP]\naccess:\n  - id: owners\n"
    "    deny: kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5\n"
)

PAGES = (
    Page(
        "unreadable",
        "Editors that save as Latin-1 or UTF-16 do this. Save the file as UTF-8.",
        wrong="version: 1  # für alle\n",
        right="version: 1  # für alle\n",
        encoding="latin-1",
    ),
    Page(
        "yaml-syntax",
        "Often a line is indented with a tab, or not as far as those beside it; or a condition that begins with a"
        " quotation mark, or has `: ` or ` #` in it, stands without quotes around all of it.",
        wrong="version: 1\naccess:\n  - id: no-tor\n   deny: client.tor\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n",
    ),
    Page(
        "yaml-alias",
        "A rule has to be readable where it stands. Write the value out, or give it a name in `lists`.",
        wrong="version: 1\nlists:\n  near: &near [IR, KP]\n  embargoed: *near\n",
        right="version: 1\nlists:\n  near: [IR, KP]\n  embargoed: [IR, KP]\n",
    ),
    Page(
        "yaml-tag",
        "To YAML a `!` at the beginning of a value is no part of the text. Put the whole condition in quotes.",
        wrong="version: 1\naccess:\n  - id: at-home\n    allow: !client.hosting\n",
        right="version: 1\naccess:\n  - id: at-home\n    allow: '!client.hosting'\n",
    ),
    Page(
        "yaml-depth",
        "The limit keeps a file from exhausting whoever reads it. A policy needs five levels.",
        wrong=f"version: 1\nlists:\n  models: {'[' * 101}{']' * 101}\n",
        right="version: 1\nlists:\n  models: [gpt-4o]\naccess:\n"
        "  - id: one-model\n    allow: request.model in lists.models\n",
    ),
    Page(
        "empty-document",
        "A policy has at least `version: 1`. Without a rule that allows, it refuses every call.",
        wrong="# to be written\n",
        right="version: 1\n",
    ),
    Page(
        "wrong-type",
        "The key holds, say, one text where a list belongs.",
        wrong="version: 1\nlists:\n  embargoed: KP\n",
        right="version: 1\nlists:\n  embargoed: [KP]\n",
    ),
    Page(
        "unknown-key",
        "A key that is not known would do nothing, so that a misspelt one would go unnoticed. The keys of each mapping"
        " stand in the reference.",
        wrong="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    messages: Not through Tor.\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    message: Not through Tor.\n",
    ),
    Page(
        "missing-key",
        "Every rule has an `id`; a throttle has a `key` and a `rate` as well; a reshape says what it changes.",
        wrong="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n",
        right="version: 1\nthrottle:\n  - id: requests\n    key: account.id\n    rate: 60 per minute\n",
    ),
    Page(
        "duplicate-key",
        "YAML itself would keep one of the two and say nothing. Take one out, or make two rules of it.",
        wrong="version: 1\naccess:\n  - id: hidden\n    deny: client.tor\n    deny: client.vpn\n",
        right="version: 1\naccess:\n  - id: hidden\n    deny: client.tor || client.vpn\n",
    ),
    Page(
        "empty-value",
        "Fill it in, or take the key out.",
        wrong="version: 1\naccess:\n  - id: no-tor\n    deny:\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n",
    ),
    Page(
        "unknown-value",
        "The hint says what is possible.",
        wrong="version: 1\nmode: enforced\n",
        right="version: 1\nmode: enforce\n",
    ),
    Page(
        "out-of-range",
        "A limit of nothing would refuse every call, for which there is `deny`; one that is too large would limit"
        " nothing.",
        wrong="version: 1\nreshape:\n  - id: short\n    cap: {output_tokens: 0}\n",
        right="version: 1\nreshape:\n  - id: short\n    cap: {output_tokens: 4096}\n",
    ),
    Page(
        "bad-name",
        "An id has letters, digits, `-`, `_` and `.`. A list or a tier is named in conditions, where `-` means"
        " minus: it has letters, digits and `_`.",
        wrong="version: 1\nlists:\n  research-only: [o3-deep-research]\n",
        right="version: 1\nlists:\n  research_only: [o3-deep-research]\naccess:\n"
        "  - id: research\n    deny: request.model in lists.research_only\n",
    ),
    Page(
        "too-long",
        "A message goes out with every refusal; a longer text belongs on a page that `help_url` names.",
        wrong=f"{_OWNERS}    message: {_LONG}\n",
        right=f"{_OWNERS}    message: This service is not available to your organisation.\n"
        "    help_url: https://example.com/owners\n",
    ),
    Page(
        "bad-url",
        "The caller is shown the link, so it has to be whole.",
        wrong="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    help_url: example.com/tor\n",
        right="version: 1\naccess:\n  - id: no-tor\n    deny: client.tor\n    help_url: https://example.com/tor\n",
    ),
    Page(
        "bad-include",
        "Paths are relative to the file that includes. An included file is a policy like any other.",
        wrong="version: 1\ninclude: [list/embargoed.yaml]\n",
        right="version: 1\ninclude: [lists/embargoed.yaml]\n",
        beside={"lists/embargoed.yaml": "version: 1\nlists:\n  embargoed: [CU, IR, KP]\n"},
    ),
    Page(
        "conflicting-list",
        "A rule would mean something else than its file says. Give one of the lists another name.",
        wrong="version: 1\ninclude: [lists/embargoed.yaml]\nlists:\n  embargoed: [KP]\n",
        right="version: 1\ninclude: [lists/embargoed.yaml]\nlists:\n  north_korea: [KP]\naccess:\n"
        "  - id: north-korea\n    deny: client.country in lists.north_korea\n",
        beside={"lists/embargoed.yaml": "version: 1\nlists:\n  embargoed: [CU, IR, KP]\n"},
    ),
    Page(
        "conflicting-tiers",
        "All files of a policy speak of the same accounts. Define the tiers in one of them, or alike in all.",
        wrong="version: 1\ninclude: [pack.yaml]\ntiers: [none, known]\n",
        right="version: 1\ninclude: [pack.yaml]\ntiers: [none, basic, verified]\n",
        beside={"pack.yaml": "version: 1\ntiers: [none, basic, verified]\n"},
    ),
)
