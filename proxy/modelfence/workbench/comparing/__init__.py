"""Two policies on one recording: what changes for whom, and by which rule, when one takes the place of the other.

    comparison = await compare(settings, parts, with_policy(settings, parts, read, path), lines)
    print(json.dumps(as_json(comparison)))

Rule: nothing here opens a file or prints.
"""

from modelfence.workbench.comparing.changes import NEWLY_REFUSED, Change, Pair
from modelfence.workbench.comparing.comparison import Comparison, Dimension
from modelfence.workbench.comparing.edits import PolicyEdits, edits
from modelfence.workbench.comparing.report import as_json, line_of, policy_changes
from modelfence.workbench.comparing.run import Compared, compare

__all__ = [
    "NEWLY_REFUSED",
    "Change",
    "Compared",
    "Comparison",
    "Dimension",
    "Pair",
    "PolicyEdits",
    "as_json",
    "compare",
    "edits",
    "line_of",
    "policy_changes",
]
