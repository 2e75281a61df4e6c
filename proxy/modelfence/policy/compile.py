"""One policy file and all it includes -> a compiled policy, or every problem with its position."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelfence.core.policy import Mode, Policy
from modelfence.core.problem import Problem, errors, in_order
from modelfence.document import Document, read
from modelfence.policy.cel import Language
from modelfence.policy.conditions import Compiler
from modelfence.policy.exemptions import exempted_by
from modelfence.policy.files import PolicyFile, content_hash, load
from modelfence.policy.names import defined_by
from modelfence.policy.rules import Rules, Written
from modelfence.source_files import SourceFiles

_OWNED_BY = "kyc.owned_by."
_HIDES = {"bad-include", "yaml-syntax"}
"""Of a file with such a problem nobody knows what it defines,"""
_MAY_BE_DEFINED = {"unknown-list", "unknown-tier"}
"""so that these may be mere consequences."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of a policy. There is no policy when any problem is an error; warnings stop nothing."""

    policy: Policy | None
    problems: tuple[Problem, ...]
    """All of them, errors and warnings, by file, line and column."""
    files: tuple[Path, ...]
    """Every file that was read, the root first: what to watch for changes."""
    documents: tuple[PolicyFile, ...] = ()
    """The same files with their nodes."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """Where each rule stands, by its id; also of a policy that has errors."""


def compile_policy(path: Path, files: SourceFiles | None = None) -> Compiled:
    """Compile a file, and what it includes, as the files hold them or else as they are now.

    Raises OSError when it can't be read; an included one that can't be is a problem.
    """
    files = files or SourceFiles()
    try:
        document = read(path, files)
    except ValueError as error:
        problem = Problem(str(path), 1, 1, "unreadable", f"this file can't be read: {error}")
        return Compiled(None, (problem,), (path,))
    return _compiled(document, files)


def compile_text(text: str, *, path: str = "policy.yaml") -> Compiled:
    """Compile a text as if it stood in a file at `path`, to which what it includes is relative. Never raises."""
    return _compiled(Document(path, text), SourceFiles())


def _compiled(root: Document, source: SourceFiles) -> Compiled:
    files = load(root, source)
    names = defined_by(files)
    shadow = files[0].shadow
    language = Language(names.lists, names.tiers)
    compiler = Compiler(language)
    rules = Rules(compiler)
    for file in files:
        rules.add(file, shadow=shadow)
    exempt = tuple(sorted({one for file in files for one in exempted_by(file)}))
    problems = in_order(_causes([problem for file in files for problem in file.document.problems]))
    paths = tuple(file.path for file in files)
    if errors(problems):
        return Compiled(None, problems, paths, files, rules.written)
    read_names = frozenset(compiler.names)
    policy = Policy(
        hash=content_hash(files),
        mode=Mode.SHADOW if shadow else Mode.ENFORCE,
        tiers=names.tiers,
        lists=names.lists,
        denies=compiler.groups(rules.denies),
        allows=tuple(rules.allows),
        reshapes=tuple(rules.reshapes),
        throttles=tuple(rules.throttles),
        names=read_names,
        owned_by=tuple(sorted(name.removeprefix(_OWNED_BY) for name in read_names if name.startswith(_OWNED_BY))),
        exempt=exempt,
        bind=language.binder(read_names, frozenset(compiler.constants)),
    )
    return Compiled(policy, problems, paths, files, rules.written)


def _causes(problems: Sequence[Problem]) -> Iterable[Problem]:
    """Return the problems without those that may follow from another."""
    if not any(problem.code in _HIDES for problem in problems):
        return problems
    return (problem for problem in problems if problem.code not in _MAY_BE_DEFINED)
