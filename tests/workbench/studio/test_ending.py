"""What takes long is ended: at once and cleanly by Ctrl-C, and by a question in its place."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from tests.workbench.studio.running import Running, write_files

SLOW = """\
version: 1
lists:
  many: [{items}]
access:
{rules}"""
RULE = "  - id: r{n}\n    deny: lists.many.map(x, lists.many.map(y, x + y)).size() == {n}\n"
WITHIN_S = 10.0


@contextmanager
def asked(running: Running, question: str) -> Iterator[http.client.HTTPConnection]:
    """Ask, and do not wait for the answer."""
    address, _, token = running.address.removeprefix("http://").partition("/#")
    headers = {"X-Studio-Token": token, "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(address, timeout=WITHIN_S)) as connection:
        connection.request("POST", f"/api/{question}", "{}", headers)
        yield connection


def test_ctrl_c_ends_a_comparison_that_is_under_way(tmp_path, capfd):
    with Running(write_files(tmp_path / "policies", lines=20_000)) as running:
        with asked(running, "compare") as comparing:
            answer = comparing.getresponse()
            while json.loads(answer.readline())["lines"] == 0:
                pass
            assert running.end(within_s=WITHIN_S) == 0
            with suppress(http.client.IncompleteRead):  # it is cut off
                assert b"comparison" not in answer.read()
        assert capfd.readouterr().err == ""


def test_a_second_comparison_ends_the_first_and_says_so(tmp_path):
    with Running(write_files(tmp_path / "policies", lines=1_500)) as running:
        with asked(running, "compare") as first:
            ended = first.getresponse()
            assert ended.readline()  # it is under way
            with asked(running, "compare") as second:
                *_, last = second.getresponse().read().splitlines()
                assert json.loads(last)["comparison"]["recording"]["lines"] == 1_500
            *_, last = ended.read().splitlines()
            assert json.loads(last) == {"error": "The comparison was called off, for another one was begun."}
        assert running.end() == 0


def test_ctrl_c_waits_for_no_condition_that_takes_long(tmp_path, capfd):
    folder = write_files(tmp_path / "policies")
    items = ", ".join(f"i{n}" for n in range(90))
    (folder / "policy.yaml").write_text(SLOW.format(items=items, rules="".join(RULE.format(n=n) for n in range(600))))
    with Running(folder) as running:
        with asked(running, "decide") as waiting:  # 600 rules, each with some 20 ms of work, and then all their parts
            with asked(running, "cases") as other:
                assert other.getresponse().status == 200  # by now the other is under way, and keeps nobody else waiting
            assert running.end(within_s=WITHIN_S) == 0
            with pytest.raises(http.client.RemoteDisconnected):
                waiting.getresponse()
        assert capfd.readouterr().err == ""
