"""What those who write and review policies work with.

| | |
| --- | --- |
| `cases/` | case files: read, run, and what they leave untested |
| `explaining/` | one request, or one line of the audit log: what became of it and why |
| `comparing/` | two policies on a recording |
| `formatting/` | policies and cases in one form |
| `problems/` | a page for each problem, and problems as build servers read them |
| `reference/` | examples for the pages that are written from tables |
| `schema/` | what editors read |
| `studio/` | all of it on a page in the browser |
| `checking.py`, `writing.py` | every problem of a policy; a file exchanged as a whole |

Rule: a running fence loads nothing of this.
"""
