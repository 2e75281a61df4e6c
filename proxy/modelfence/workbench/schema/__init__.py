"""JSON Schemas of the files people write, for their editors: `schema_of(kind)`, for each of `KINDS`.

They are made from the tables that the readers check by, so a schema refuses what a reader refuses, as far as a schema
can tell: which keys there are, which are needed, and what fits. What only a reader can tell (whether a condition is
written right, whether two rules have one id) it leaves to `modelfence policy check`.
"""

from modelfence.workbench.schema.kinds import KINDS, schema_of

__all__ = ["KINDS", "schema_of"]
