"""The policy language: YAML with CEL conditions -> a compiled `Policy`, or every `Problem` with its position.

`compile_policy(path)` and `compile_text(text, path=…)` return `Compiled(policy, problems, files)`; `policy` is None
when `core.problem.errors(problems)` is not empty. `CODES` explains each code; `keys` holds the tables of keys.

Rule: compiling is all that happens here; nothing is decided, and nothing but the policy's files is read.
"""

from modelfence.policy.codes import CODES
from modelfence.policy.compile import Compiled, compile_policy, compile_text

__all__ = ["CODES", "Compiled", "compile_policy", "compile_text"]
