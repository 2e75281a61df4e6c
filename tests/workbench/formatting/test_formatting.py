"""What the standard form is, and that nothing is lost on the way to it.

After a change of the form, `python -m tests.workbench.formatting.test_formatting` writes `forms/` anew; read the
difference.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from modelfence.core.keys import Record
from modelfence.policy.keys import POLICY_KEYS
from modelfence.workbench.cases.keys import FILE_KEYS
from modelfence.workbench.formatting import ChangedMeaningError, formatted

from .scrambling import Scrambler, some_policy

ROOT = Path(__file__).parents[3]
FORMS = sorted((Path(__file__).parent / "forms").glob("*.before.yaml"))
SHIPPED = sorted((ROOT / "policies").rglob("*.yaml"))
POLICY, CASES = Record(POLICY_KEYS), Record(FILE_KEYS)


def in_form(path: Path) -> str:
    return formatted(path.read_text(), CASES if ".cases." in path.name else POLICY)


def after(path: Path) -> Path:
    return path.with_name(path.name.replace("before", "after"))


@pytest.mark.parametrize("path", FORMS, ids=[path.name for path in FORMS])
def test_a_file_takes_this_form_and_keeps_it(path):
    assert in_form(path) == after(path).read_text()
    assert in_form(after(path)) == after(path).read_text()


@pytest.mark.parametrize("path", SHIPPED, ids=[str(path.relative_to(ROOT)) for path in SHIPPED])
def test_what_is_shipped_is_in_form(path):
    assert in_form(path) == path.read_text()


def values(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - the base loader makes texts and nothing else


@pytest.mark.parametrize("hundred", range(10))
def test_values_and_comments_stay_and_what_is_in_form_stays_as_it_is(hundred):
    for seed in range(hundred * 100, hundred * 100 + 100):
        random = Random(seed)  # noqa: S311 - for the same files in every run
        value, scrambler = some_policy(random), Scrambler(random)
        text = scrambler.file(value)
        assert values(text) == value, seed
        once = formatted(text, POLICY)
        assert values(once) == value, seed
        assert all(any(line.endswith(comment) for line in once.split("\n")) for comment in scrambler.comments), seed
        assert formatted(once, POLICY) == once, seed


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("NO", "NO"),
        ("'NO'", "'NO'"),
        ("'Norway'", "Norway"),
        ('"12"', '"12"'),
        ("1e3", "1e3"),
        ("0o7", "0o7"),
        ("yes", "yes"),
        ("'yes'", "'yes'"),
        ("2026-01-31", "2026-01-31"),
        ('"2026-01-31"', '"2026-01-31"'),
        ("'a: b'", "'a: b'"),
        ("'a #b'", "'a #b'"),
        ("'a#b'", "a#b"),
        ("' a'", "' a'"),
        ("''", "''"),
        ("~", "~"),
    ],
)
def test_quotes_stay_where_some_reader_would_take_the_value_for_another(written, form):
    assert formatted(f"version: {written}\n", POLICY) == f"version: {form}\n"


@pytest.mark.parametrize("written", ['"a, b"', '"a]"', "'{a'"])
def test_within_brackets_more_needs_quotes(written):
    assert formatted(f"tiers: [ {written} ]\n", POLICY) == f"tiers: [{written}]\n"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("include:\n- a.yaml\n# the end of the file\n", "include:\n  - a.yaml\n# the end of the file\n"),
        (
            "lists:\n a:\n  - b\n  # of the list\n # of the lists\n",
            "lists:\n  a:\n    - b\n    # of the list\n  # of the lists\n",
        ),
        ("lists:\n  a: [b]\n      # of the list\nmode: shadow\n", "mode: shadow\nlists:\n  a: [b]\n  # of the list\n"),
        (
            "access:\n  # - id: later\n\n  #   deny: x\nmode: shadow\n",
            "mode: shadow\n\naccess:\n  # - id: later\n\n  #   deny: x\n",
        ),
        ("tiers: # low\n  # to high\n  [none]\n", "# to high\ntiers: [none]  # low\n"),
        ("include: [ # those\n]\n", "include: []  # those\n"),
        ("{mode: shadow # mode\n # end\n} # file\n# last\n", "mode: shadow  # mode\n# end\n# file\n# last\n"),
        (
            f"access:\n  - {{id: {'x' * 99}, mode: shadow}}  # long\n",
            f"access:\n  - id: {'x' * 99}  # long\n    mode: shadow\n",
        ),
        ("--- # head\nmode: shadow\n...\n# end\n", "---\n# head\nmode: shadow\n# end\n"),
    ],
)
def test_a_comment_stays_with_what_it_is_about(text, form):
    assert formatted(text, POLICY) == form
    assert formatted(form, POLICY) == form


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("[ 'a\n  b' ]", "[a b]"),
        ("[ 'a: b\n\n  \"c\"' ]", r'["a: b\n\"c\""]'),
        ('[ "a\\x07\n  \\tb" ]', r'["a\U00000007 \tb"]'),
        ("[ a\n  b, 1e3\n  x, c\n\n  d ]", r'[a b, 1e3 x, "c\nd"]'),
        ("|1\n   \n", r'"  \n"'),
        ("|+\n\n", r'"\n"'),
    ],
)
def test_what_can_not_stay_on_several_lines_is_written_with_escapes(written, form):
    assert formatted(f"tiers: {written}", POLICY) == f"tiers: {form}\n"


def test_line_ends_stay_those_of_the_file():
    assert formatted("mode:  shadow\r\nversion: 1\r\n", POLICY) == "version: 1\r\nmode: shadow\r\n"


def test_names_of_the_authors_own_keep_their_order():
    text = "lists:\n  b: [x]\n  a: [y]\n"
    assert formatted(text, POLICY) == text
    text = "cases:\n  - name: a\n    matrix: {kyc.tier: [none], client.country: [NO]}\n    expect: {effect: deny}\n"
    assert formatted(text, CASES) == text


def test_a_list_too_long_for_a_line_is_filled_into_rows_of_which_none_is_too_long():
    countries = ", ".join(["NO", "SE"] * 50)
    lines = formatted(f"lists:\n  many: [{countries}]\n", POLICY).splitlines()
    assert lines[:2] == ["lists:", "  many:"]
    assert len(lines) == 6
    assert max(map(len, lines)) <= 120
    assert " ".join(line.strip() for line in lines[2:]) == f"[{countries}]"


@pytest.mark.parametrize("text", ["- a\n", "a\n", "lists: |\n  a\u2028  b\n"])
def test_what_can_not_be_kept_is_not_written(text):
    with pytest.raises(ChangedMeaningError):
        formatted(text, POLICY)


def test_a_large_file_takes_no_longer_than_to_read_it_a_few_times():
    rule = "  - id: rule-{}\n    deny: client.country == 'NO'  # why\n    # and why not\n"
    text = "version: 1\naccess:\n" + "".join(map(rule.format, range(5_000)))
    assert formatted(text, POLICY).count("# and why not") == 5_000


if __name__ == "__main__":
    for each in FORMS:
        after(each).write_text(in_form(each))
