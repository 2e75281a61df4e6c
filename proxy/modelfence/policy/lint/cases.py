"""Rules that no case looks at."""

from collections.abc import Set as AbstractSet

from modelfence.policy.compile import Compiled
from modelfence.policy.lint.subjects import Notes


def warn_of_untested_rules(compiled: Compiled, with_cases: AbstractSet[str] | None, notes: Notes) -> None:
    """Warn of each rule without a case, or once of all where the policy has no cases: `with_cases` is None."""
    if with_cases is None:
        root = compiled.documents[0]
        if compiled.written:
            words = "no case says what this policy is to do"
            notes.at(root.entries["version"], "no-cases", words, f"write some in `{root.path.stem}.cases.yaml`")
        return
    for name, written in compiled.written.items():
        if name not in with_cases:
            notes.at(written.keys["id"], "no-case", f"no case expects anything of `{name}`")
