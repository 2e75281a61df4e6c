"""What came of cases, for other programs: JSON, and JUnit's XML for build servers."""

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from modelfence.core.problem import errors
from modelfence.workbench.cases.coverage import Coverage, Exercised, Sides
from modelfence.workbench.cases.model import Place
from modelfence.workbench.cases.results import CaseResult, Results
from modelfence.workbench.cases.telling import failed_lines

# What XML 1.0 can't hold, https://www.w3.org/TR/xml/#charsets
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def results_json(results: Results) -> Mapping[str, object]:
    """Return what came of the cases of one file."""
    return {
        "file": str(results.case_file.path),
        "policy": str(results.case_file.policy_path),
        "cases": [_case_json(one) for one in results.results],
    }


def coverage_json(coverage: Coverage) -> Mapping[str, object]:
    """Return what cases saw: by rule, by expression, by condition in it, with lines, columns and offsets."""
    return {
        "percent": coverage.percent,
        "seen": coverage.seen,
        "total": coverage.total,
        "rules": [_rule_json(one) for one in coverage.rules.values()],
        "gaps": [{**_place_json(place), "message": words} for place, words in coverage.gaps()],
    }


def junit(every: Sequence[Results]) -> str:
    """Return a report as build servers read it: a suite for each file, with an error where it could not be run."""
    root = ET.Element("testsuites", name="modelfence policy test")
    for results in every:
        root.append(_suite(results))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", f"{sum(one.took_s for one in every):.6f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case_json(result: CaseResult) -> Mapping[str, object]:
    case, failure = result.case, result.failure
    found = {
        "name": case.name,
        "combination": dict(case.combination),
        **_place_json(case.place),
        "passed": result.passed,
        "calls": result.calls,
        "took_s": round(result.took_s, 6),
    }
    if failure is None:
        return found
    decision, step = failure.came.decision, failure.came.step
    return found | {
        "failure": {
            "step": _place_json(step.place),
            "call": failure.came.n,
            "at_s": (failure.came.at_us - case.start_us) / 1_000_000,
            "differences": [
                {"aspect": one.aspect, "expected": one.expected, "came": one.came} for one in failure.differences
            ],
            "effect": decision.effect,
            "rules": decision.rules,
            "unknown": decision.unknown,
            "message": decision.message,
        }
    }


def _rule_json(one: Exercised) -> Mapping[str, object]:
    is_throttle = one.rule.kind == "throttle"
    return {
        "id": one.rule.id,
        "kind": one.rule.kind,
        **_place_json(one.place),
        "applied": one.applied,
        **({"refused": one.refused} if is_throttle else {}),
        "expressions": {key: [_sides_json(side) for side in sides] for key, sides in one.sides.items() if sides},
    }


def _sides_json(one: Sides) -> Mapping[str, object]:
    return {
        "source": one.source,
        "start": one.start,
        "end": one.end,
        **_place_json(one.place),
        "true": one.true,
        "false": one.false,
        "unknown": one.unknown,
    }


def _place_json(place: Place) -> Mapping[str, object]:
    return {"file": place.file, "line": place.line, "column": place.column}


def _suite(results: Results) -> ET.Element:
    case_file = results.case_file
    wrong = errors((*case_file.problems, *(case_file.compiled.problems if case_file.compiled else ())))
    path = _clean(str(case_file.path))
    suite = ET.Element(
        "testsuite",
        name=path,
        tests=str(len(results.results) + bool(wrong)),
        failures=str(len(results.failed)),
        errors=str(int(bool(wrong))),
        skipped="0",
        time=f"{results.took_s:.6f}",
        file=path,
    )
    if wrong:
        case = ET.SubElement(suite, "testcase", classname=path, name="the file can be read", time="0")
        error = ET.SubElement(case, "error", type="problem", message=_clean(wrong[0].message))
        error.text = _clean("\n\n".join(problem.render() for problem in wrong))
    for result in results.results:
        suite.append(_testcase(result, results, path))
    return suite


def _testcase(result: CaseResult, results: Results, path: str) -> ET.Element:
    case = ET.Element("testcase", classname=path, name=_clean(result.case.title), time=f"{result.took_s:.6f}")
    policy = results.case_file.compiled.policy if results.case_file.compiled else None
    if result.failure is not None and policy is not None:
        first = result.failure.differences[0]
        words = f"{first.aspect}: expected {first.expected}, came {first.came}"
        failure = ET.SubElement(case, "failure", type="expectation", message=_clean(words))
        failure.text = _clean("\n".join(failed_lines(result, policy)))
    return case


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
