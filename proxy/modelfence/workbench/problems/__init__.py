"""What is wrong with policies, for readers and for other tools: a page for each code, SARIF, and GitHub's annotations.

`PAGES` has the page of each code by its name; `as_text` and `as_markdown` write one; `sarif` and `annotations` write
problems as others read them.
"""

from collections.abc import Mapping

from modelfence.workbench.problems import pages_file, pages_lint, pages_rules
from modelfence.workbench.problems.github import annotations
from modelfence.workbench.problems.page import Page
from modelfence.workbench.problems.sarif import sarif
from modelfence.workbench.problems.writing import as_markdown, as_text

__all__ = ["PAGES", "Page", "annotations", "as_markdown", "as_text", "sarif"]

PAGES: Mapping[str, Page] = {
    page.code: page for pages in (pages_file.PAGES, pages_rules.PAGES, pages_lint.PAGES) for page in pages
}
