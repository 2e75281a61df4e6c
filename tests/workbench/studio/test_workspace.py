"""Which files the studio opens, and what it takes their unsaved texts for."""

import os

import pytest

from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.workspace import Kind, Workspace, as_edited, as_written

INNER = "version: 1\naccess:\n  - {id: all, allow: 'true'}\n"


@pytest.fixture
def nested(tmp_path):
    """A policy in a folder with something beside it that is nobody's business."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "policy.yaml").write_text(INNER)
    (folder / "more.yaml").write_text("version: 1\n")
    (folder / "key.txt").write_text("secret: key\n")
    (tmp_path / "secret.yaml").write_text("secret: key\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    os.mkfifo(folder / "pipe.yaml")
    return folder


@pytest.mark.parametrize(
    "include", ["/etc/passwd", "../secret.yaml", "sub/../../secret.yaml", "link.yaml", "key.txt", "pipe.yaml"]
)
def test_an_unsaved_include_opens_only_files_in_the_policys_folder(nested, include):
    workspace = Workspace(nested / "policy.yaml")
    compiled = workspace.compile({"0": f"{INNER}include: [{include}]\n"})
    [problem] = compiled.problems
    assert problem.code == "bad-include"
    assert "secret: key" not in problem.excerpt
    assert [opened.path.name for opened in workspace.files()] == ["policy.yaml"]


def test_an_unsaved_include_of_the_folder_is_one_more_file(nested):
    workspace = Workspace(nested / "policy.yaml")
    edited = {"0": f"{INNER}include: [more.yaml]\n"}
    assert workspace.compile(edited).problems == ()
    assert [(one.id, one.path.name, one.kind) for one in workspace.files(edited)] == [
        ("0", "policy.yaml", Kind.POLICY),
        ("1", "more.yaml", Kind.INCLUDED),
    ]


def test_what_the_saved_policy_includes_is_opened_wherever_it_is(nested):
    (nested.parent / "shared.yaml").write_text("version: 1\n")
    (nested / "policy.yaml").write_text(f"{INNER}include: [../shared.yaml]\n")
    workspace = Workspace(nested / "policy.yaml")
    assert [one.path.name for one in workspace.files()] == ["policy.yaml", "shared.yaml"]
    assert workspace.compile({"0": f"{INNER}include: [../shared.yaml]\n# changed\n"}).problems == ()


def test_the_unsaved_text_of_an_include_counts(nested):
    (nested / "policy.yaml").write_text(f"{INNER}include: [more.yaml]\n")
    workspace = Workspace(nested / "policy.yaml")
    assert workspace.compile({}).policy.lists == {}
    assert workspace.compile({"1": "version: 1\nlists: {a: [x]}\n"}).policy.lists == {"a": ("x",)}


def test_files_are_known_by_their_numbers_alone(nested):
    workspace = Workspace(nested / "policy.yaml")
    for id_ in ("1", "../secret.yaml", "", None, 0):
        with pytest.raises(BadRequestError):
            workspace.path_of(id_)


@pytest.mark.parametrize(
    "data", [b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", b"\xef\xbb\xbfa\nb\n", b"\xef\xbb\xbfa\r\nb", b"", "é\n".encode()]
)
def test_a_text_that_was_not_edited_is_written_as_it_was(data):
    assert as_written(as_edited(data), data) == data


def test_a_file_of_several_line_ends_gets_those_of_most_of_its_lines():
    assert as_written("a\nb\nc\nd\n", b"a\nb\nc\r\n") == b"a\nb\nc\nd\n"
    assert as_written("a\nb\nc\n", b"a\r\nb\r\nc\n") == b"a\r\nb\r\nc\r\n"
