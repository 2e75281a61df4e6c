"""What those who write and review policies work with: cases, explanations, comparisons, schemas, a page in the browser.

Rule: a running fence loads nothing of this.
"""
