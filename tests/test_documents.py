"""The documents are held to the code: what they say exists does, and what exists they say."""

import re
import runpy
from itertools import chain
from pathlib import Path

import pytest

from modelfence.adapters.accounts.file import read_accounts
from modelfence.adapters.metrics.calls import CUT_FOR, PrometheusMetrics
from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.adapters.metrics.states import StateMetrics
from modelfence.core.dialect import Outgoing
from modelfence.core.keys import Record
from modelfence.core.problem import errors
from modelfence.dialects.known import DIALECTS
from modelfence.extraction.weights import WEIGHTS
from modelfence.policy.compile import compile_policy
from modelfence.policy.keys import POLICY_KEYS
from modelfence.settings_reading import keys, load
from modelfence.source_files import SourceFiles
from modelfence.workbench.formatting import formatted
from modelfence.workers.operators import WorkerMetrics

ROOT = Path(__file__).parent.parent


def fenced(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "tool"), [("policy.md", "write_reference.py"), ("cases.md", "write_case_keys.py")]
)
def test_the_references_are_what_the_tables_say(document, tool):
    written = runpy.run_path(str(ROOT / "tools" / tool))["page"]()
    assert written == (ROOT / "docs" / document).read_text(), f"run tools/{tool}"


def test_the_metrics_page_names_every_metric_with_its_labels(tmp_path):
    page = (ROOT / "docs/metrics.md").read_text()
    documented = dict(re.findall(r"^\| `(modelfence_\w+)` \|([\w, ]*)\|", page, re.MULTILINE))
    exists = {}
    registries = PrometheusMetrics().registry, WorkerMetrics(SharedCounts(tmp_path)).registry
    for collector in chain.from_iterable(registry._collector_to_names for registry in registries):
        name = collector._name + ("_total" if collector._type == "counter" else "")  # type: ignore[attr-defined]
        exists[name] = ", ".join(collector._labelnames)  # type: ignore[attr-defined]
    for family in StateMetrics().describe():
        exists[family.name] = ", ".join(family._labelnames)
    assert {name: labels.strip() for name, labels in documented.items()} == exists


def test_the_metrics_page_names_all_that_connections_are_cut_for():
    [row] = re.findall(
        r"^\| `modelfence_connections_cut_total` .*$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", row)) - {"modelfence_connections_cut_total"} == set(CUT_FOR)


def test_the_page_on_extraction_says_what_the_table_of_signals_says():
    page = (ROOT / "docs/extraction.md").read_text()
    rows = [f"| `{n}` | {w.scope} | {w.most:+.2f} | {w.says} | {w.why} | {w.fitted_on} |" for n, w in WEIGHTS.items()]
    assert re.findall(r"^\| `\w+` \| (?:call|account|cohort) \|.*$", page, re.MULTILINE) == rows


@pytest.mark.parametrize("document", ["README.md", "docs/policy.md"])
def test_the_policies_shown_have_no_problems(document):
    shown = [text for text in fenced(document, "yaml") if text.startswith("version: 1")]
    assert shown
    beside = {
        Path(text.split("\n")[0].removeprefix("# ")): text.encode()
        for text in fenced(document, "yaml")
        if text.startswith("# ")
    }
    for text in shown:
        files = SourceFiles(texts={Path("policy.yaml"): text.encode(), **beside})
        assert compile_policy(Path("policy.yaml"), files).problems == ()


@pytest.mark.parametrize("document", ["README.md", "docs/policy.md", "docs/cases.md", "docs/throttles.md"])
def test_the_policies_shown_are_in_one_form_but_for_empty_lines(document):
    for text in fenced(document, "yaml"):
        if text.startswith("version: 1"):
            assert list(filter(None, formatted(text, Record(POLICY_KEYS)).splitlines())) == list(
                filter(None, text.splitlines())
            )


def test_the_settings_shown_are_read_and_name_every_key(tmp_path):
    [shown] = fenced("docs/operating.md", "yaml")
    (tmp_path / "modelfence.yaml").write_text(shown)
    settings, problems = load(tmp_path / "modelfence.yaml", {"OPENAI_API_KEY": "sk-x"}, {})
    assert settings is not None, [problem.render() for problem in problems]
    assert not errors(problems)
    for key in keys():
        if not key.startswith("tls."):
            assert re.search(rf"^ *{key.rpartition('.')[2]}:", shown, re.MULTILINE), f"{key} is not shown"


def test_the_page_on_candidates_shows_settings_that_are_read_and_metrics_that_exist(tmp_path):
    [shown] = fenced("docs/candidate.md", "yaml")
    (tmp_path / "modelfence.yaml").write_text(shown)
    settings, problems = load(tmp_path / "modelfence.yaml", {}, {})
    assert (problems, settings.canary) == ((), 5.0)
    page = (ROOT / "docs/candidate.md").read_text()
    assert set(re.findall(r"modelfence_\w+", page)) <= set(
        re.findall(r"^\| `(modelfence_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    )


async def test_the_accounts_shown_are_read(tmp_path):
    shown, *_ = fenced("docs/accounts.md", "yaml")
    (tmp_path / "accounts.yaml").write_text(shown)
    accounts, problems = read_accounts(tmp_path / "accounts.yaml")
    assert problems == ()
    assert (await accounts.get("acme")).ownership == pytest.approx({"HK": 0.6, "CN": 0.54, "US": 0.4})


def test_the_make_targets_the_readme_names_exist():
    targets = re.findall(r"^make (\w+)", "\n".join(fenced("README.md", "sh")), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_page_on_accounts_says_every_warning():
    page = (ROOT / "docs/accounts.md").read_text()
    review = (ROOT / "proxy/modelfence/core/account_review.py").read_text()
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page, re.MULTILINE)
    assert set(re.findall(r'Finding\("([a-z-]+)"', review)) == set(re.findall(r"`([a-z-]+)`", ", ".join(rows)))


def test_the_page_of_dialects_says_what_each_path_stands_for():
    page = (ROOT / "docs" / "dialects.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (GET|POST) (/[^|]*) \| (\w+) \|$", page, re.MULTILINE)
    assert {name for name, *_ in rows} == set(DIALECTS)
    for name, method, paths, operation in rows:
        for path in paths.split(", "):
            assert DIALECTS[name].operation(method, path) == operation, (name, path)


def test_the_page_of_dialects_says_how_a_key_goes_up():
    page = (ROOT / "docs" / "dialects.md").read_text()
    outgoing = Outgoing("POST", "api.test", "/", "", (), b"")
    for name, dialect in DIALECTS.items():
        [(header, value)] = dialect.credential_headers("secret", outgoing)
        written = f"`{header}: Bearer`" if value.startswith("Bearer ") else f"`{header}`"
        assert re.search(rf"^\| `{name}` \|[^|]*\|[^|]*{written}", page, re.MULTILINE), name


def anchors(document: Path) -> set[str]:
    """Return what the headings of a page are linked by, as GitHub makes it of them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_links_between_the_documents_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target
