"""What is to be looked at in an accounts file, shown where it stands."""

from datetime import UTC, datetime

import pytest

from modelfence.adapters.accounts.document import open_accounts
from modelfence.core.account import Entity, Owner
from modelfence.core.account_review import Horizon

NOW_US = int(datetime(2026, 11, 29, 8, tzinfo=UTC).timestamp()) * 1_000_000
DIGESTS = ["sha256:" + letter * 64 for letter in "abc"]
FILE = f"""\
accounts:
  - id: acme
    status: active
    tier: verified
    country: UK
    verified: 2026-01-10
    expires: 2026-12-10
    owners: [{{entity: holding-1, share: 0.6}}, {{country: ZZ, share: 0.4}}]
    keys:
      - "{DIGESTS[0]}"
      - {{digest: "{DIGESTS[1]}", name: ci, expires: 2026-12-01}}
    certificates: [{{digest: "{DIGESTS[2]}", expires: 2026-12-02}}]
  - {{id: beta, status: active, tier: basic, labels: {{note: not-to-be-quoted-SECRET}}}}
  - {{id: gone, status: closed, tier: basic, country: XK, keys: }}
entities:
  - {{id: holding-1, country: HK, owners: [{{country: QQ, share: 0.9}}]}}
  - {{id: shell, country: KY}}
  - {{id: listed, country: US, owners: []}}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str):
        path = tmp_path / "accounts.yaml"
        path.write_text(text)
        return path.relative_to(tmp_path)

    return write


def test_each_warning_stands_where_what_it_is_about_stands(write):
    document, problems = open_accounts(write(FILE))
    assert problems == ()
    found = document.review(NOW_US, Horizon())
    assert [(one.line, one.column, one.code, one.length) for one in found] == [
        (5, 14, "unknown-country", 2),
        (6, 15, "never-screened", 10),
        (7, 14, "verification-expiring", 10),
        (8, 57, "unknown-country", 2),
        (11, 9, "key-expiring", 114),
        (12, 20, "key-expiring", 104),
        (13, 10, "no-key", 4),
        (16, 53, "unknown-country", 2),
        (17, 10, "owners-unstated", 5),
    ]
    assert {str(one.severity) for one in found} == {"warning"}
    assert found[-1].message == (
        "the owners of `shell` are not stated: it counts for KY alone; write [] if nobody is known"
    )
    assert found[0].render() == (
        "accounts.yaml:5:14: warning: no country has the code `UK` in ISO 3166-1 [unknown-country]\n"
        "  |\n"
        "5 |     country: UK\n"
        "  |              ^^\n"
        "  = did you mean `GB`?"
    )


def test_no_warning_shows_what_may_be_a_secret(write):
    document, _ = open_accounts(write(FILE))
    [found] = [one for one in document.review(NOW_US, Horizon()) if one.code == "no-key"]
    assert found.excerpt == ""


def test_the_companies_behind_accounts_are_read(write):
    document, _ = open_accounts(write(FILE))
    assert document.entities() == {
        "holding-1": Entity("holding-1", "HK", (Owner(0.9, country="QQ"),)),
        "shell": Entity("shell", "KY"),
        "listed": Entity("listed", "US"),
    }


def test_a_file_with_nothing_but_sound_records_has_no_warnings(write):
    document, problems = open_accounts(write("accounts:\n  - {id: acme, status: suspended, tier: basic}\nentities:\n"))
    assert problems == ()
    assert document.review(NOW_US, Horizon()) == ()
    assert len(document.accounts) == 1


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("accounts: [{id: a, status: activ, tier: x}, {id: a, status: active, tier: x}]",
         ["unknown-value", "duplicate-id"]),
        ("accounts: [", ["yaml-syntax"]),
        ("", ["empty-document"]),
    ],
)  # fmt: skip
def test_a_file_with_errors_is_no_document(write, text, codes):
    document, problems = open_accounts(write(text))
    assert document is None
    assert [one.code for one in problems] == codes


def test_a_line_of_what_is_not_yaml_is_not_quoted(write):
    _, [problem] = open_accounts(write("accounts: [sk-SECRET"))
    assert problem.excerpt == ""


def test_a_file_that_is_not_there_is_said(write):
    _, [problem] = open_accounts(write("").with_name("none.yaml"))
    assert problem.render() == ("none.yaml:1:1: can't read the accounts: No such file or directory [unreadable-file]")
