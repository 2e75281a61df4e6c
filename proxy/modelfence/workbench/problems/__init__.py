"""What is wrong with policies and cases, for readers and other tools: pages on codes, SARIF, annotations of GitHub.

`PAGES` has the page of each code by its name; `as_text` and `as_markdown` write one; `sarif` and `annotations` write
problems as others read them.
"""

from collections.abc import Mapping

from modelfence.workbench.problems import pages_cases, pages_file, pages_lint, pages_rules
from modelfence.workbench.problems.github import annotations
from modelfence.workbench.problems.page import MEANINGS, Page
from modelfence.workbench.problems.sarif import sarif
from modelfence.workbench.problems.writing import as_markdown, as_text

__all__ = ["MEANINGS", "PAGES", "Page", "annotations", "as_markdown", "as_text", "sarif"]

PAGES: Mapping[str, Page] = {
    page.code: page
    for pages in (pages_file.PAGES, pages_rules.PAGES, pages_lint.PAGES, pages_cases.PAGES)
    for page in pages
}
