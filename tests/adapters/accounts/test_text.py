"""Changes of an accounts file, in whatever way its author likes to write."""

from dataclasses import replace

import pytest

from modelfence.adapters.accounts.document import read_accounts_document
from modelfence.adapters.accounts.text import NotEditableError, edited, key_text
from modelfence.core.account import Entry, Key
from modelfence.core.account_keys import Change, adding, revoking, rotating, with_digits, with_status
from modelfence.core.dates import DAY_US
from modelfence.document import Document

NOW_US = 20_786 * DAY_US
ONE, TWO, CERTIFICATE, OTHER, NEW = ("sha256:" + letter * 64 for letter in "abcde")
LAYOUTS = {
    "a list in brackets": f"""\
# Customers.
accounts:
  - id: acme   # the first
    keys: ["{ONE}", "{TWO}"]   # two keys
    status: active  # since 2026
    tier: basic

  # Others.
  - {{id: other, keys: ["{OTHER}"], status: active, tier: basic}}
""",
    "a list in brackets over several lines": f"""\
accounts:
  - status: active
    keys: [
      "{ONE}",   # laptop
      {{digest: "{TWO}", name: ci}},   # ci
    ]
    tier: basic
    id: acme
""",
    "a list of lines": f"""\
accounts:
  - id: acme
    keys:
      - "{ONE}"   # laptop
      - {TWO}
      # nothing more
    status: active
    tier: basic
  - {{id: other, keys: ["{OTHER}"], status: active, tier: basic}}
""",
    "a list of lines below its name": f"""\
accounts:
- id: acme
  status: active
  tier: basic
  keys:
  - '{ONE}'
  - digest: "{TWO}"
    expires: 2030-01-01   # long
    name: ci
# the end
""",
    "lists with more to say": f"""\
accounts:
  - id: acme
    status: active
    tier: basic
    keys:
      - digest: "{ONE}"
        expires: 2030-01-01
        revoked: false
      - {{digest: "{TWO}", expires: 2030-01-01}}
    certificates:
      - "{CERTIFICATE}"
""",
    "all in one line": f"accounts: [{{id: acme, keys: ['{ONE}', '{TWO}'], status: active, tier: basic}}]",
    "JSON": f'{{"accounts": [{{"id": "acme", "keys": ["{ONE}", "{TWO}"], "status": "active", "tier": "basic"}}]}}\n',
    "letters beyond ASCII": f"""\
accounts:
  - {{id: Größe-🙂, status: active, tier: basic, purpose: "日本 🙂"}}   # 🙂🙂
  - id: acme
    purpose: "🙂"   # 🙂
    keys: ["{ONE}", "{TWO}"]
    status: active   # 🙂
    tier: basic
""",
    "a value on the line below": f"""\
accounts:
  -
    id:
      acme
    status:
      active
    tier: basic
    keys:
      -
        "{ONE}"
      -
        digest:
          "{TWO}"
""",
    "no line end at the end": f"""\
accounts:
  - id: acme
    status: active
    tier: basic
    keys:
      - {ONE}
      - {TWO}""",
    "a text over several lines at the end": f"""\
accounts:
  - id: acme
    status: active
    tier: basic
    keys:
      - {ONE}
      - digest: {TWO}
        name: |
          ci

entities: []
""",
}
WITHOUT = {
    "no keys": "accounts:\n  - id: acme   # first\n    status: active\n    tier: basic\n",
    "no keys, in braces": "accounts: [{tier: basic, id: acme, status: active}]   # all",
    "keys left empty": "accounts:\n  - id: acme\n    keys:\n    status: active\n    tier: basic\n",
    "keys left empty with a comment": "accounts:\n  - id: acme\n    keys:   # none yet\n    status: active\n    tier: basic\n",
    "keys left empty in braces": "accounts: [{id: acme, keys: , status: active, tier: basic}]",
    "keys that are null": "accounts:\n  - id: acme\n    keys: ~   # none yet\n    status: active\n    tier: basic\n",
    "an empty list": "accounts:\n  - id: acme\n    keys: []   # none yet\n    status: active\n    tier: basic\n",
    "an empty list over two lines": "accounts:\n  - id: acme\n    keys: [\n    ]\n    status: active\n    tier: basic\n",
    "the id last": "accounts:\n  - status: active\n    tier: basic\n    id: acme",
}
CHANGES: dict[str, Change] = {
    "a key more": adding(Key(NEW), NOW_US),
    "a key with a name that expires": adding(Key(NEW, NOW_US, name='lap "top": #1'), NOW_US),
    "two keys more": lambda entry: adding(Key(OTHER[:-1] + "0", name="b"), NOW_US)(adding(Key(NEW), NOW_US)(entry)),
    "another status": with_status("suspended"),
}
CHANGES_OF_KEYS: dict[str, Change] = {
    "the first rotated": rotating(with_digits(ONE), Key(NEW), until_us=NOW_US + DAY_US, now_us=NOW_US),
    "the last rotated": rotating(with_digits(TWO), Key(NEW), until_us=NOW_US + DAY_US, now_us=NOW_US),
    "the first revoked": revoking(with_digits(ONE)),
    "the last revoked": revoking(with_digits(TWO)),
    "everything at once": lambda entry: with_status("closed")(
        revoking(with_digits(ONE))(
            rotating(with_digits(TWO), Key(NEW), until_us=NOW_US + DAY_US, now_us=NOW_US)(
                rotating(with_digits(ONE), Key(OTHER[:-1] + "0"), until_us=NOW_US, now_us=NOW_US)(entry)
            )
        )
    ),
}


def document_of(text: str):
    document, problems = read_accounts_document(Document("accounts.yaml", text))
    assert problems == ()
    assert document is not None
    return document


def changed(text: str, change: Change) -> tuple[str, Entry]:
    """Return the text after a change, and what it is to say."""
    document = document_of(text)
    after = change(document.records["acme"].entry)
    return edited(document, after), after


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["", "CRLF"])
@pytest.mark.parametrize("change", [*CHANGES, *CHANGES_OF_KEYS])
@pytest.mark.parametrize("layout", [*LAYOUTS, *WITHOUT])
def test_the_text_says_what_was_meant_and_keeps_every_comment(layout, change, ending):
    text = (LAYOUTS | WITHOUT)[layout].replace("\n", ending)
    if layout in WITHOUT and change in CHANGES_OF_KEYS:
        return
    new, after = changed(text, (CHANGES | CHANGES_OF_KEYS)[change])
    records = document_of(new).records
    assert set(records["acme"].keys) == set(after.keys)
    assert records["acme"].account == after.account
    before = document_of(text).records
    assert {name: one.entry for name, one in records.items() if name != "acme"} == {
        name: one.entry for name, one in before.items() if name != "acme"
    }
    for comment in [line.partition("#")[2] for line in text.splitlines()]:
        assert comment in new
    assert new.count("\n") == new.count(ending)


SHOWN = {
    ("a list in brackets", "a key more"): (
        f'    keys: ["{ONE}", "{TWO}"]   # two keys\n',
        f'    keys: ["{ONE}", "{TWO}", "{NEW}"]   # two keys\n',
    ),
    ("a list of lines", "a key more"): (
        f"      - {TWO}\n      # nothing more\n",
        f'      - {TWO}\n      - "{NEW}"\n      # nothing more\n',
    ),
    ("a list of lines", "the first revoked"): (
        f'      - "{ONE}"   # laptop\n',
        f'      - {{digest: "{ONE}", revoked: true}}   # laptop\n',
    ),
    ("a list of lines below its name", "the last rotated"): (
        "    expires: 2030-01-01   # long\n    name: ci\n",
        f'    expires: 2026-11-30   # long\n    name: ci\n  - {{digest: "{NEW}", name: ci}}\n',
    ),
    ("lists with more to say", "the first revoked"): ("revoked: false", "revoked: true"),
    ("no keys", "a key with a name that expires"): (
        "  - id: acme   # first\n",
        f'  - id: acme   # first\n    keys:\n      - {{digest: "{NEW}", name: "lap \\"top\\": #1", expires: 2026-11-29}}\n',
    ),
    ("an empty list", "a key more"): ("keys: []   #", f'keys: ["{NEW}"]   #'),
    ("no keys, in braces", "another status"): ("status: active", "status: suspended"),
}


@pytest.mark.parametrize(("layout", "change"), SHOWN)
def test_nothing_else_of_the_text_changes(layout, change):
    text = (LAYOUTS | WITHOUT)[layout]
    before, after = SHOWN[layout, change]
    assert text.count(before) == 1
    assert changed(text, (CHANGES | CHANGES_OF_KEYS)[change])[0] == text.replace(before, after)


def test_a_certificate_is_revoked_where_its_fingerprint_stands():
    text = LAYOUTS["lists with more to say"]
    document = document_of(text)
    entry = document.records["acme"].entry
    new = edited(document, revoking(with_digits(entry.keys[-1].digest))(entry))
    assert new == text.replace(f'- "{CERTIFICATE}"', f'- {{digest: "{CERTIFICATE}", revoked: true}}')


def test_what_can_not_be_said_by_such_a_change_is_refused():
    document = document_of(LAYOUTS["a list in brackets"])
    entry = document.records["acme"].entry
    for after in (
        replace(entry, account=replace(entry.account, tier="verified")),
        replace(entry, keys=entry.keys[:1]),
        replace(entry, keys=(*entry.keys, Key(OTHER))),
        replace(entry, keys=(*entry.keys, Key(NEW, NOW_US + 1))),
    ):
        with pytest.raises(NotEditableError):
            edited(document, after)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (Key(NEW), f'"{NEW}"'),
        (Key(NEW, name="ci-2.x"), f'{{digest: "{NEW}", name: ci-2.x}}'),
        (Key(NEW, name="no: 1"), f'{{digest: "{NEW}", name: "no: 1"}}'),
        (Key(NEW, NOW_US, is_revoked=True), f'{{digest: "{NEW}", expires: 2026-11-29, revoked: true}}'),
    ],
)
def test_a_key_is_written_as_people_write_it(key, text):
    assert key_text(key) == text
