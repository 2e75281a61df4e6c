"""What the studio answers its page: problems, decisions, the map, changes and saves."""

import json
import os
import stat

import pytest
from tests.workbench.studio.conftest import PACK, POLICY

from modelfence.core.continents import CONTINENT_OF
from modelfence.core.countries import COUNTRIES
from modelfence.core.facts import FACTS
from modelfence.workbench.studio.checking import MAX_PROBLEMS, Lines
from modelfence.workbench.studio.mapping import DEADLINE_S, Mapped
from modelfence.workbench.studio.protection import BadRequestError
from modelfence.workbench.studio.workspace import digest_of


async def decided(studio, facts, **texts):
    code, answer = await studio.ask("decide", {"facts": facts, "texts": texts})
    assert code == 200, answer
    return answer


async def test_the_page_is_told_every_fact_and_every_key(studio):
    _, answer = await studio.ask("start")
    assert [field["name"] for field in answer["fields"]] == [fact.name for fact in FACTS]
    assert [key["name"] for key in answer["vocabulary"]["keys"]][:2] == ["version", "mode"]
    access = next(key for key in answer["vocabulary"]["keys"] if key["name"] == "access")
    assert {"id", "deny", "allow"} <= {key["name"] for key in access["keys"]}
    assert all(fact["name"] in fact["example"] for fact in answer["vocabulary"]["facts"])
    methods = {one["name"]: one["follows_a_dot"] for one in answer["vocabulary"]["functions"]}
    assert (methods["startsWith"], methods["timestamp"]) == (True, False)


async def test_the_files_are_the_policy_and_its_includes(studio):
    _, answer = await studio.ask("check")
    assert [(one["id"], one["kind"], one["text"]) for one in answer["files"]] == [
        ("0", "policy", POLICY),
        ("1", "included", PACK),
    ]
    assert answer["problems"] == []
    assert answer["policy"]["lists"] == {"blocked": ["KP", "IR"]}


async def test_a_problem_of_an_unsaved_text_says_where_it_is(studio):
    wrong = POLICY.replace("client.country", "client.contry")
    _, answer = await studio.ask("check", {"texts": {"0": wrong}})
    assert answer["policy"] is None
    [problem] = answer["problems"]
    assert wrong[problem["from"] : problem["to"]] == "client.contry"
    assert (problem["id"], problem["code"]) == ("0", "unknown-fact")
    assert problem["hint"] == "did you mean `client.country`?"


@pytest.mark.parametrize(
    ("line", "column", "at"),
    [(1, 1, 0), (1, 3, 2), (1, 99, 3), (2, 1, 4), (2, 2, 6), (2, 3, 7), (3, 1, 8), (9, 1, 8)],
)
def test_places_are_counted_as_browsers_do(line, column, at):
    assert Lines("abc\n😀d\n").place(line, column) == at


async def test_a_page_is_told_no_more_problems_than_it_can_show_and_the_errors_first(studio):
    rules = "".join(f"  - {{id: r{n}, deny: client.contry}}\n" for n in range(MAX_PROBLEMS + 5))
    text = f"version: 1\nlists: {{unused: [x]}}\naccess:\n{rules}"
    _, answer = await studio.ask("check", {"texts": {"0": text}})
    assert (answer["errors"], len(answer["problems"])) == (MAX_PROBLEMS + 5, MAX_PROBLEMS)
    assert {problem["severity"] for problem in answer["problems"]} == {"error"}


async def test_a_text_that_the_page_knows_is_not_sent_again(studio, policy):
    _, answer = await studio.ask("check")
    known = {one["id"]: one["digest"] for one in answer["files"]}
    _, answer = await studio.ask("check", {"known": known})
    assert [one["text"] for one in answer["files"]] == [None, None]
    policy.write_text(f"{POLICY}# theirs\n")
    _, answer = await studio.ask("check", {"known": known})
    assert [one["text"] for one in answer["files"]] == [f"{POLICY}# theirs\n", None]
    everything: tuple[object, ...] = ([], 7, {"0": []})
    for nonsense in everything:
        assert (await studio.ask("check", {"known": nonsense}))[0] == 200


async def test_what_is_changed_on_the_disk_counts_at_once(studio, policy):
    assert (await decided(studio, {"client.country": "NO", "kyc.tier": "basic"}))["decision"]["effect"] == "allow"
    policy.write_text(POLICY.replace("kyc.tier >= tier.basic", "false"))
    assert (await decided(studio, {"client.country": "NO", "kyc.tier": "basic"}))["decision"]["effect"] == "deny"
    policy.with_name("packs").joinpath("regions.yaml").write_text(PACK.replace("KP, IR", "NO"))
    answer = await decided(studio, {"client.country": "NO", "kyc.tier": "basic"})
    assert answer["decision"]["rules"] == ["blocked-region"]


async def test_a_decision_says_why(studio):
    answer = await decided(studio, {"client.country": "KP", "kyc.tier": "basic"})
    decision = answer["decision"]
    assert (decision["effect"], decision["status"], decision["rules"]) == ("deny", 403, ["blocked-region"])
    assert decision["message"] == "Not available in your region."
    [rule] = [rule for rule in answer["trace"] if rule["id"] == "blocked-region"]
    assert (rule["applies"], rule["file"], rule["line"]) == (True, "0", 5)
    assert rule["expressions"]["deny"]["state"] == "true"
    assert rule["expressions"]["deny"]["parts"][0]["value"] == '"KP"'


async def test_what_is_unknown_counts_against_the_caller_and_is_named(studio):
    answer = await decided(studio, {"client.country": None, "kyc.tier": "basic"})
    assert answer["decision"]["unknown"] == ["client.country"]
    assert answer["decision"]["effect"] == "deny"


async def test_what_is_let_in_is_reshaped_and_charged(studio):
    answer = await decided(studio, {"client.country": "NO", "kyc.tier": "basic", "account.id": "acme"})
    assert answer["decision"]["reshaping"]["remove"] == ["logprobs"]
    [charge] = answer["decision"]["charges"]
    assert (charge["throttle"], charge["key"], charge["amount"], charge["burst"]) == ("per-account", "acme", 1, 60)


async def test_an_unsaved_rule_decides(studio):
    changed = POLICY.replace("kyc.tier >= tier.basic", "false")
    answer = await decided(studio, {"client.country": "NO", "kyc.tier": "basic"}, **{"0": changed})
    assert answer["decision"]["effect"] == "deny"


async def test_nothing_is_decided_while_the_policy_has_errors(studio):
    _, answer = await studio.ask("decide", {"texts": {"0": "nonsense"}})
    assert answer == {"decision": None}
    _, answer = await studio.ask("map", {"texts": {"0": "nonsense"}})
    assert answer == {"countries": None}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("client.asn", 1 << 63, "a whole number"),
        ("client.asn", True, "a whole number"),
        ("client.asn", "1", "a whole number"),
        ("client.eu", "yes", "yes or no"),
        ("extraction.score", float("inf"), "a number"),
        ("extraction.score", float("nan"), "a number"),
        ("client.country", 7, "a text"),
        ("client.country", "\ud800", "a text"),
        ("extraction.signals", "x", "a list of texts"),
        ("kyc.ownership", {"US": "much"}, "countries with a share each, such as US: 0.6"),
        ("account.labels", {"plan": 1}, "names with a text each, such as plan: gold"),
        ("now", "soon", "a time such as 2026-01-31T12:00"),
    ],
)
async def test_a_fact_that_is_none_is_refused_in_words(studio, name, value, wanted):
    code, answer = await studio.ask("decide", {"facts": {name: value}})
    assert (code, answer) == (400, {"error": f"{name}: {wanted} is expected."})


async def test_shares_of_lists_are_worked_out_from_the_ownership(studio):
    text = POLICY.replace("kyc.tier >= tier.basic", "kyc.owned_by.blocked > 0.5")
    owned = {"client.country": "NO", "kyc.ownership": {"KP": 0.4, "IR": 0.2, "US": 0.4}}
    answer = await decided(studio, owned, **{"0": text})
    assert answer["decision"]["effect"] == "allow"


async def test_the_map_has_every_country(studio):
    _, answer = await studio.ask("map", {"facts": {"kyc.tier": "basic", "client.country": "KP"}})
    countries = answer["countries"]
    assert set(countries) == COUNTRIES | {"XK"}
    refused = {code for code, country in countries.items() if country["outcome"] == "refused"}
    assert refused == {"KP", "IR"}
    assert countries["KP"]["rules"] == ["blocked-region"]
    assert countries["NO"]["outcome"] == "changed"


@pytest.mark.parametrize(
    ("condition", "refused"),
    [
        ('client.continent == "AN"', {"AQ", "BV", "GS", "HM", "TF"}),
        ('client.registered_country == "NO"', {"NO"}),
        ('client.region == "UA-43"', {"UA"}),
    ],
)
async def test_what_goes_with_a_country_changes_along(studio, condition, refused):
    text = POLICY.replace("client.country in lists.blocked", condition)
    facts = {"kyc.tier": "verified", "client.region": "UA-43", "client.continent": "EU"}
    _, answer = await studio.ask("map", {"facts": facts, "texts": {"0": text}})
    assert {code for code, one in answer["countries"].items() if one["outcome"] == "refused"} == refused
    assert answer["countries"]["SE"]["outcome"] == "allowed"


async def test_a_map_whose_time_is_over_says_so(studio):
    clock_s = iter((0.0, 1.0, DEADLINE_S + 1))
    mapped = Mapped(studio.workspace, lambda: next(clock_s))
    with pytest.raises(BadRequestError, match="takes too long"):
        await mapped.countries({})
    mapped.stop()


async def test_a_rule_in_shadow_shows_on_the_map(studio):
    text = POLICY.replace("- id: blocked-region", "- id: blocked-region\n    mode: shadow")
    _, answer = await studio.ask("map", {"facts": {"kyc.tier": "verified"}, "texts": {"0": text}})
    assert answer["countries"]["KP"]["outcome"] == "would"
    assert answer["countries"]["KP"]["shadow_rules"] == ["blocked-region"]


def test_every_country_is_on_a_continent():
    assert COUNTRIES | {"XK"} <= set(CONTINENT_OF)


async def change_of(studio, text):
    _, answer = await studio.ask("changes", {"texts": {"0": text}})
    [change] = answer["changes"]
    return change


async def test_a_save_shows_first_what_it_changes(studio, policy):
    change = await change_of(studio, POLICY.replace("60 per minute", "30 per minute"))
    assert change["lines"] == [
        "@@ -14,5 +14,5 @@", " throttle:", "   - id: per-account", "     key: account.id",
        "-    rate: 60 per minute", "+    rate: 30 per minute", " ",
    ]  # fmt: skip
    assert policy.read_text() == POLICY


async def test_a_save_writes_the_file_and_keeps_its_mode(studio, policy):
    policy.chmod(0o640)
    text = f"{POLICY}# more\n"
    change = await change_of(studio, text)
    _, answer = await studio.ask("save", {"id": "0", "text": text, "digest": change["digest"]})
    assert answer["saved"]
    assert policy.read_text() == text
    assert stat.S_IMODE(policy.stat().st_mode) == 0o640
    assert sorted(path.name for path in policy.parent.iterdir()) == ["packs", "policy.yaml"]
    assert (await studio.ask("changes", {"texts": {"0": text}}))[1]["changes"] == []


async def test_nothing_is_written_over_what_somebody_else_has_changed(studio, policy):
    change = await change_of(studio, f"{POLICY}# mine\n")
    policy.write_text(f"{POLICY}# theirs\n")
    _, answer = await studio.ask("save", {"id": "0", "text": f"{POLICY}# mine\n", "digest": change["digest"]})
    assert not answer["saved"]
    assert "changed on the disk" in answer["why"]
    assert policy.read_text() == f"{POLICY}# theirs\n"


async def test_line_ends_are_kept(studio, policy):
    policy.write_bytes(POLICY.replace("\n", "\r\n").encode())
    text = f"{POLICY}# more\n"
    change = await change_of(studio, text)
    await studio.ask("save", {"id": "0", "text": text, "digest": change["digest"]})
    assert policy.read_bytes() == text.replace("\n", "\r\n").encode()


async def test_what_a_link_leads_to_is_replaced_and_the_link_stays(studio, policy):
    real = policy.with_name("real.yaml")
    policy.replace(real)
    policy.symlink_to(real)
    change = await change_of(studio, f"{POLICY}# more\n")
    await studio.ask("save", {"id": "0", "text": f"{POLICY}# more\n", "digest": change["digest"]})
    assert policy.is_symlink()
    assert real.read_text() == f"{POLICY}# more\n"


@pytest.mark.parametrize("name", [["0"], {"0": "x"}, 0, None, "7"], ids=range(5))
async def test_a_save_names_its_file_by_number(studio, policy, name):
    code, answer = await studio.ask("save", {"id": name, "text": "x", "digest": "x"})
    assert (code, answer) == (400, {"error": "There is no such file here."})
    assert policy.read_text() == POLICY


async def test_what_has_become_a_link_to_elsewhere_is_neither_shown_nor_written(studio, policy, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.yaml"
    secret.write_text("secret: key\n")
    policy.unlink()
    policy.symlink_to(secret)
    code, answer = await studio.ask("changes", {"texts": {"0": "x"}})
    assert code == 400
    assert "in the policy's folder only" in answer["error"]
    code, _ = await studio.ask("save", {"id": "0", "text": "x", "digest": digest_of(b"secret: key\n")})
    assert code == 400
    assert secret.read_text() == "secret: key\n"


async def test_what_has_become_a_pipe_is_not_waited_for(studio, policy):
    policy.unlink()
    os.mkfifo(policy)
    code, answer = await studio.ask("changes", {"texts": {"0": "x"}})
    assert (code, answer["error"]) == (400, f"{policy} can't be read: it is no regular file.")


async def test_modelfences_own_policy_is_not_written(studio, policy):
    studio.workspace.may_save = False
    change = await change_of(studio, f"{POLICY}# more\n")
    code, answer = await studio.ask("save", {"id": "0", "text": f"{POLICY}# more\n", "digest": change["digest"]})
    assert code == 400
    assert "Copy it" in answer["error"]
    assert policy.read_text() == POLICY


async def test_a_policy_that_is_gone_is_told_of(studio, policy):
    policy.unlink()
    code, answer = await studio.ask("check")
    assert (code, answer["error"]) == (400, f"{policy} can't be read: No such file or directory.")


CASES = """\
policy: policy.yaml
given: {client.country: NO, kyc.tier: basic, account.id: acme}
cases:
  - name: a customer is let in
    expect: {effect: allow, rules: [customers]}
  - name: not from everywhere
    given: {client.country: KP}
    expect: {effect: deny, rules: [blocked-region]}
"""


@pytest.fixture
def with_cases(policy, studio):
    """A studio whose policy has cases."""
    policy.with_name("policy.cases.yaml").write_text(CASES)
    studio.workspace.look()
    return studio


async def test_cases_that_somebody_has_just_written_are_found_when_all_are_run(studio, policy):
    policy.with_name("policy.cases.yaml").write_text(CASES)
    _, answer = await studio.ask("cases", {"run": True})
    assert [one["passed"] for one in answer["files"][0]["cases"]] == [True, True]


async def test_an_empty_file_of_cases_is_not_blamed_on_the_policy(with_cases, policy):
    policy.with_name("policy.cases.yaml").write_text("")
    _, answer = await with_cases.ask("cases", {"run": True})
    [file] = answer["files"]
    assert (file["broken"], [problem["code"] for problem in file["problems"]]) == (False, ["empty-document"])


async def test_cases_are_run_on_what_is_edited(with_cases):
    _, answer = await with_cases.ask("cases", {"run": True})
    [file] = answer["files"]
    assert [(one["title"], one["passed"]) for one in file["cases"]] == [
        ("a customer is let in", True),
        ("not from everywhere", True),
    ]
    texts = {"0": POLICY.replace("kyc.tier >= tier.basic", "false")}
    _, answer = await with_cases.ask("cases", {"run": True, "texts": texts})
    first, second = answer["files"][0]["cases"]
    assert (first["passed"], second["passed"]) == (False, True)
    assert first["failure"]["differences"][0] == {"aspect": "effect", "expected": "allow", "came": "deny"}
    assert first["failure"]["trace"]


async def test_one_case_is_run_by_itself_without_coverage(with_cases):
    _, answer = await with_cases.ask("cases", {"run": True, "file": "2", "n": 1})
    assert [one["passed"] for one in answer["files"][0]["cases"]] == [None, True]
    assert answer["coverage"] is None


async def test_coverage_says_what_no_case_exercises_and_where(with_cases):
    _, answer = await with_cases.ask("cases", {"run": True})
    states = {rule["id"]: (rule["file"], rule["line"], rule["state"]) for rule in answer["coverage"]["rules"]}
    assert states["blocked-region"] == ("0", 5, "full")
    assert states["customers"] == ("0", 8, "part")
    [gap] = next(rule["gaps"] for rule in answer["coverage"]["rules"] if rule["id"] == "customers")
    assert "is never false" in gap["words"]


async def test_problems_of_edited_cases_are_told_with_those_of_the_policy(with_cases):
    _, answer = await with_cases.ask("check", {"texts": {"2": CASES.replace("[customers]", "[custommers]")}})
    assert [(one["id"], one["code"]) for one in answer["problems"]] == [("2", "unknown-rule")]


CURL = """curl https://api.openai.com/v1/chat/completions -H 'Content-Type: application/json' -d '{"model": "gpt-5",
"messages": [{"role": "user", "content": "Hi"}]}'"""


async def test_a_pasted_request_is_read_and_judged(studio):
    code, answer = await studio.ask("paste", {"request": CURL, "country": "KP"})
    assert code == 200, answer
    assert answer["facts"]["request.model"] == "gpt-5"
    assert answer["facts"]["client.country"] == "KP"
    assert answer["facts"]["kyc.tier"] == "none"
    assert answer["told"]["status"] in (401, 403)
    assert "Not available in your region." in answer["told"]["body"] or answer["told"]["status"] == 401
    [source] = [one["source"] for one in answer["sources"] if one["name"] == "request.model"]
    assert source


@pytest.mark.parametrize(
    "asked",
    [{}, {"request": 7}, {"request": " "}, {"request": "nonsense"}, {"request": CURL, "account": 7}],
    ids=range(5),
)
async def test_what_is_no_request_is_refused_in_words(studio, asked):
    code, answer = await studio.ask("paste", asked)
    assert code == 400
    assert answer["error"].endswith(".")


async def test_there_is_nothing_to_compare_on_without_a_recording(studio):
    response = await studio.fetch(
        "/api/compare", method="POST", body=b"{}",
        X_Studio_Token=studio.identity.token, Content_Type="application/json",
    )  # fmt: skip
    assert json.loads(response.body) == {"error": "No recording was named: start the studio with --recording FILE."}
