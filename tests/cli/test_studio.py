"""`modelfence studio` as somebody types it: what it can't serve is told of before it serves anything."""

import os

import pytest

from modelfence.cli import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nope.yaml"], "nope.yaml is no file that can be read"),
        (["."], ". is no file that can be read"),
        (["pipe.yaml"], "pipe.yaml is no file that can be read"),
        (["--recording", "."], ". is no file that can be read"),
        (["--recording", "nope.jsonl"], "nope.jsonl is no file that can be read"),
        (["--against", "nope.yaml"], "nope.yaml is no file that can be read"),
        (["--accounts", "nope.yaml"], "nope.yaml is no file that can be read"),
    ],
)
def test_files_that_are_none_are_refused_at_the_start(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    assert main(["studio", *words]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("modelfence studio: ")
    assert output.err.endswith(f"{told}\n")


@pytest.mark.parametrize("port", ["65536", "-1", "x", "", "1e3", "٣"])
def test_a_port_that_is_none_is_refused(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["studio", f"--port={port}"])
    assert f"`{port}` is no port: these are 0 (a free one) to 65535" in capsys.readouterr().err
