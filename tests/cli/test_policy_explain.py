"""`modelfence policy explain`, as a person runs it. What people see is compared with committed files."""

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.workbench.explaining.explained_calls import ASKED, AT, KEYS, SECRET, make, request

from modelfence.cli import parser
from modelfence.cli.policy_explain import _has_colours
from modelfence.workbench.explaining.explanation import Origin, Role

GOLDEN = Path(__file__).parent / "explain_output"


@pytest.fixture
def ask(tmp_path, monkeypatch, run_here):
    """Asks in a folder of its own, eighty columns wide."""
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str):
        policy = () if "--policy" in words else ("--policy", "policies/default.yaml")
        accounts = () if "--accounts" in words else ("--accounts", "accounts.yaml")
        return run_here("policy", "explain", *words, *policy, *accounts)

    return run


def settled(text: str) -> str:
    """Return a text without what changes as the bundled database and the style do, and not with what is tested."""
    without_style = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.DOTALL)
    return re.sub(r"built \d{4}-\d\d-\d\d", "built DAY", without_style)


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(("form", "ending"), [("text", "txt"), ("json", "json"), ("html", "html")])
def test_what_people_are_shown(ask, name, form, ending):
    ended = ask(*ASKED[name], "--format", form)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert settled(ended.stdout) == (GOLDEN / f"{name}.{ending}").read_text()


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_no_key_and_no_word_of_a_prompt_is_shown(ask, form):
    for words in ASKED.values():
        shown = ask(*words, "--format", form).stdout
        assert not any(secret in shown for secret in (*KEYS.values(), SECRET))


def test_lines_fit_a_terminal(ask, monkeypatch):
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        for words in ASKED.values():
            assert max(len(line) for line in ask(*words).stdout.splitlines()) <= columns


def test_a_curl_command_is_explained_as_the_api_of_its_host_reads_it(ask):
    command = (
        f"curl https://api.mistral.ai/v1/chat/completions -H 'Authorization: Bearer {KEYS['acme']}' "
        '--json \'{"model": "mistral-large", "messages": []}\''
    )
    ended = ask("--curl", command, "--client-ip", "8.8.8.8", "--at", AT)
    assert ended.stdout.startswith("Let in: the allow `active-customers` applies.")
    assert "to mistral" in ended.stdout


def test_who_calls_and_from_where_can_be_said_beside_the_request(ask):
    ended = ask("stranger.json", "--account", "beta", "--country", "NO", "--format", "json")
    facts = {fact["name"]: fact for fact in json.loads(ended.stdout)["facts"]}
    assert (facts["account.id"]["value"], facts["client.country"]["value"], facts["client.eu"]["value"]) == (
        "beta",
        "NO",
        False,
    )
    assert facts["client.country"]["origin"] == "said"
    assert facts["client.continent"]["value"] is None


def test_what_is_refused_unjudged_says_so(ask, tmp_path):
    (tmp_path / "odd.json").write_text(json.dumps(request(path="/v1//chat")))
    ended = ask("odd.json")
    assert ended.returncode == 0
    assert ended.stdout.startswith("Refused (400) before it was judged: The path holds empty segments")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "give one of these"),
        (("request.json", "--curl", "curl a.test"), "give one of these"),
        (("--decision", "x"), "--decision ID and --audit PATH go together"),
        (("--curl", "curl a.test", "--line", "1"), "--line N goes with a REQUEST"),
        (("day.jsonl", "--line", "1", "--account", "acme"), "--account is for a single request"),
        (("missing.json",), "missing.json can't be read"),
        (("day.jsonl",), "it holds 121 requests; say which by --line"),
        (("day.jsonl", "--line", "122"), "it has no line 122, but 121 of them"),
        (("request.json", "--line", "1"), "line 1 is broken"),
        (("request.json", "--account", "acne"), "there is no account `acne` in accounts.yaml; did you mean `acme`?"),
        (("request.json", "--country", "ZZ"), "no country has the code `ZZ`"),
        (("request.json", "--client-ip", "here"), "`here` is no address"),
        (("request.json", "--at", "noon"), "noon is no time like"),
        (("request.json", "--line", "0"), "0 is no line"),
        (("request.json", "--accounts", "missing.yaml"), "missing.yaml has problems"),
    ],
    ids=range(15),
)
def test_what_can_not_be_explained_ends_with_2_and_a_sentence(ask, words, complaint):
    ended = ask(*words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in " ".join(ended.stderr.split())


class Page(HTMLParser):
    """The names of a page's elements and of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.said += data


def test_a_hostile_request_puts_nothing_into_the_page(ask, tmp_path):
    hostile = "</code><script>alert(1)</script><img src=x onerror=alert(1)>`"
    body = {"model": hostile, "messages": []}
    (tmp_path / "hostile.json").write_text(json.dumps(request(body=body)))
    page = Page(ask("hostile.json", "--format", "html").stdout)
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "form", "a"})
    assert not any(name.startswith("on") for name in page.attributes)
    assert "<script>alert(1)</script>" in page.said


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert _has_colours({"TERM": "xterm"})
    assert not _has_colours({"TERM": "xterm", "NO_COLOR": "1"})
    assert not _has_colours({"TERM": "dumb"})
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert not _has_colours({})


def test_the_page_on_explaining_shows_commands_that_are_understood_and_every_name_of_the_json(ask):
    page = (Path(__file__).parents[2] / "docs" / "explaining.md").read_text()
    shown = re.findall(r"^modelfence (policy explain .*)$", page, re.MULTILINE)
    assert len(shown) >= 5
    for command in shown:
        parser().parse_args(shlex.split(command))
    explanation = json.loads(ask("request.json", "--format", "json").stdout)
    table = page.partition("## JSON")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(explanation)
    for name in ("rules", "throttles", "facts"):
        for field in explanation[name][0]:
            assert f"`{field}`" in table, (name, field)
    for value in (*Role, *Origin):
        assert f"`{value}`" in table, value
