"""Policies and case files in one form, with every comment: `formatted`.

What a file says never changes: the text is read again, and one that says something else or lacks a comment is refused.

Why not ruamel.yaml: it hangs a comment on the value before it, so that one above a rule moves away with the last key of
the rule before when keys are put in order, and it breaks folded texts and lists anew. Values are copied from the source
here, so a layout that is not known stays as it is.
"""

from modelfence.workbench.formatting.form import ChangedMeaningError, formatted

__all__ = ["ChangedMeaningError", "formatted"]
