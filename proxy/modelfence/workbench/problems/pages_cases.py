"""Pages on cases: what of them can't be read, and what they expect that can't come."""

from modelfence.workbench.problems.page import POLICY, Page

_FILE = "policy.cases.yaml"
_ACCESS = """\
version: 1
access:
  - id: embargoed
    deny: client.country == "KP"
  - id: customers
    allow: kyc.status == "active"
"""
_THROTTLE = """\
throttle:
  - id: calls
    key: account.id
    rate: 60 per minute
"""
_ACCOUNTS = """\
accounts:
  - id: acme
    keys: ["sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"]
    status: active
    tier: basic
"""
_REQUEST = "request: {account: acme, path: /v1/models, method: GET}"


def _case(*lines: str, head: str = "") -> str:
    """Return a file with one case."""
    return head + "cases:\n  - name: customers are let in\n" + "".join(f"    {line}\n" for line in lines)


def _page(code: str, more: str, wrong: str, right: str, policy: str = _ACCESS, **accounts: str) -> Page:
    return Page(code, more, wrong, right, {POLICY: policy, **accounts}, file=_FILE)


PAGES = (
    Page(
        "bad-policy",
        "Cases are about the policy that `policy` names, relative to their own file, or else the one beside them of the"
        " same name. Mend the policy first: `modelfence policy check` tells all of its problems.",
        wrong=_case("expect: {effect: allow}", head="policy: live.yaml\n"),
        right=_case("given: {kyc.status: active}", "expect: {effect: allow}", head="policy: policy.yaml\n"),
        beside={POLICY: _ACCESS},
        file=_FILE,
    ),
    Page(
        "bad-accounts",
        "`accounts` names the file by which requests are told whose they are, relative to the file of the cases."
        " `modelfence accounts check` tells what is wrong with it.",
        wrong=_case(_REQUEST, "expect: {effect: allow}", head="accounts: customers.yaml\n"),
        right=_case(_REQUEST, "expect: {effect: allow}", head="accounts: accounts.yaml\n"),
        beside={POLICY: _ACCESS, "accounts.yaml": _ACCOUNTS},
        file=_FILE,
    ),
    Page(
        "unknown-account",
        "A request is made by an account of the file that `accounts` names.",
        wrong=_case(
            _REQUEST.replace("acme", "amce"), "expect: {effect: deny, rules: []}", head="accounts: accounts.yaml\n"
        ),
        right=_case(_REQUEST, "expect: {effect: allow}", head="accounts: accounts.yaml\n"),
        beside={POLICY: _ACCESS, "accounts.yaml": _ACCOUNTS},
        file=_FILE,
    ),
    _page(
        "unknown-rule",
        "Rules are named by their `id`; those of included files count as well.",
        wrong=_case("given: {kyc.status: active}", "expect: {effect: allow, rules: [custommers]}"),
        right=_case("given: {kyc.status: active}", "expect: {effect: allow, rules: [customers]}"),
    ),
    _page(
        "unreachable",
        "Such a case could only fail, or an exception never count, so it would say nothing of the policy. Expect what"
        " the rule can do, or name another rule.",
        wrong=_case("given: {kyc.status: active}", "expect: {effect: allow, rules: [embargoed]}"),
        right=_case("given: {kyc.status: active}", "expect: {effect: allow, rules: [customers]}"),
    ),
    _page(
        "always-known",
        "Some facts are never in doubt: whoever has no account has the lowest tier and the status `unknown`.",
        wrong=_case("given: {kyc.status: null}", "expect: {effect: deny}"),
        right=_case("given: {kyc.status: unknown}", "expect: {effect: deny}"),
    ),
    _page(
        "not-stated-here",
        "A request says what it asks for and whose it is. Beside it, `given` says where the caller is and when.",
        wrong=_case("given: {kyc.tier: basic}", "request: {path: /v1/models, method: GET}", "expect: {effect: deny}"),
        right=_case(
            "given: {client.country: KP}", "request: {path: /v1/models, method: GET}", "expect: {effect: deny}"
        ),
    ),
    _page(
        "bad-duration",
        "Write the unit: `retry_after: 1s`.",
        wrong=_case(
            "steps:", "  - {times: 60, expect: {effect: allow}}", "  - {after: a minute, expect: {effect: allow}}"
        ),
        right=_case("steps:", "  - {times: 60, expect: {effect: allow}}", "  - {after: 1m, expect: {effect: allow}}"),
        policy=_ACCESS + _THROTTLE,
    ),
    _page(
        "bad-time",
        "A time without its zone would be another one on another machine: write it in UTC, with `Z`.",
        wrong=_case("given: {now: 2026-01-31 12:00}", "expect: {effect: deny}"),
        right=_case('given: {now: "2026-01-31T12:00:00Z"}', "expect: {effect: deny}"),
    ),
    _page(
        "bad-address",
        "One address is expected, not a network and not a name.",
        wrong=_case("given: {client.ip: 192.0.2.0/24}", "expect: {effect: deny}"),
        right=_case("given: {client.ip: 192.0.2.1}", "expect: {effect: deny}"),
    ),
    _page(
        "nothing-expected",
        "Without `expect` a case passes whatever the policy does. With `steps`, each step has an `expect` of its own.",
        wrong=_case("given: {kyc.status: active}"),
        right=_case("given: {kyc.status: active}", "expect: {effect: allow}"),
    ),
    _page(
        "duplicate-name",
        "A report names cases by their names, so that each needs its own.",
        wrong=_case("expect: {effect: allow}") + "  - name: customers are let in\n    expect: {effect: allow}\n",
        right=_case("expect: {effect: allow}") + "  - name: so are others\n    expect: {effect: allow}\n",
    ),
    _page(
        "too-many",
        "A matrix is run for every combination of its values, and `times` for every call. Leave out what does not"
        " change the answer.",
        wrong=_case("steps:", "  - {times: 100000, expect: {effect: allow}}", "  - expect: {effect: throttle}"),
        right=_case("steps:", "  - {times: 60, expect: {effect: allow}}", "  - expect: {effect: throttle}"),
        policy=_ACCESS + _THROTTLE,
    ),
)
