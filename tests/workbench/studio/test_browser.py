"""The studio as people see it: in a real Chromium, by mouse and by keyboard, light and dark, narrow and wide.

Debian's browser is used; where there is none, these tests are skipped and say so.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from tests.workbench.studio.conftest import POLICY
from tests.workbench.studio.running import CASES, DEADLINE_S, Running, write_files

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium here: install it (apt-get install chromium) to test the page"
)
BESIDE = 900
"""So wide a page has its editor beside the rest."""
HOSTILE = "<img src=x onerror=document.title=1>"
CURL = """curl https://api.openai.com/v1/chat/completions -H 'Content-Type: application/json' \
-H 'Authorization: Bearer sk-acme' -d '{"model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}'"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory) -> Iterator[Running]:
    """One for all tests that save nothing."""
    with Running(write_files(tmp_path_factory.mktemp("studio") / "policies")) as running:
        yield running
        assert running.end() == 0


@pytest.fixture
def own_studio(tmp_path) -> Iterator[Running]:
    with Running(write_files(tmp_path / "policies")) as running:
        yield running
        assert running.end() == 0


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a studio's page. In the end nothing on any of them has gone wrong."""
    faults: list[str] = []
    with ExitStack() as ending:

        def open_at(address: str, *, width: int = 1600, theme: str = "light") -> Page:
            page = browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
            )
            ending.callback(page.close)
            page.set_default_timeout(1000 * DEADLINE_S)
            page.on("console", lambda message: faults.append(message.text) if message.type != "log" else None)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("requestfailed", lambda request: faults.extend(failure_of(request)))
            page.on("response", lambda answer: faults.append(answer.url) if answer.status >= 400 else None)
            page.goto(address)
            return page

        yield open_at
    assert faults == []


@pytest.fixture
def page(open_page, studio) -> Page:
    page = open_page(studio.address)
    expect(page.locator(".verdict")).to_be_visible()
    return page


def failure_of(request: Request) -> list[str]:
    """Aborted is what the page itself gives up for a newer question; and a body that a script reads bit by bit."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


def replace_text(page: Page, old: str, new: str) -> None:
    """Type something in the place of what stands once in the editor."""
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+f")
    expect(page.locator(".cm-search [name=search]")).to_be_focused()
    page.keyboard.type(old)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.insert_text(new)


def text_of(page: Page) -> str:
    return "\n".join(page.locator(".cm-line").all_inner_texts())


def assert_usable(page: Page, view: str) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, f"{view}: {results.generate_report()}"
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, f"{view} is {width} pixels wide, and the window {room}"
    height, room = page.evaluate("[document.documentElement.scrollHeight, window.innerHeight]")
    # There each side scrolls for itself: what goes beyond the window could only be scrolled to, and never back.
    assert height <= room or width < BESIDE, f"{view} is {height} pixels high, and the window {room}"


# No style depends on both, so each width and each theme is looked at once.
@pytest.mark.parametrize(("width", "theme"), [(400, "dark"), (1600, "light")])
def test_every_view_fits_and_keeps_nobody_from_using_it(open_page, studio, width, theme):
    page = open_page(studio.address, width=width, theme=theme)
    expect(page.locator(".verdict")).to_contain_text("Allowed")
    page.locator(".more > summary").click()
    page.locator("#fact-extraction-score").fill("")
    expect(page.locator("#fact-extraction-score-fault")).to_contain_text("until then it counts as 0")
    assert_usable(page, "request")
    page.get_by_role("button", name="Keyboard").click()
    assert_usable(page, "keyboard")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Keyboard")).to_be_focused()
    page.locator(".cm-fact").first.hover()
    expect(page.locator(".cm-tooltip-hover")).to_be_visible()
    assert_usable(page, "what a fact means")
    page.mouse.move(0, 0)
    replace_text(page, "kyc.tier >= tier.basic", "kyc.tier >= tier.verified")
    page.locator("#tab-cases").click()
    page.locator(".failure summary").first.click()
    assert_usable(page, "cases")
    page.locator("#tab-map").click()
    expect(page.locator(".land.refused").first).to_be_visible()
    assert_usable(page, "map")
    page.locator("#tab-compare").click()
    page.locator("#panel-compare .primary").click()
    expect(page.locator(".timeline")).to_be_visible()
    assert_usable(page, "compare")
    replace_text(page, "client.country", "client.contry")
    expect(page.locator(".write .problems button")).to_be_visible()
    assert_usable(page, "problems")
    page.keyboard.press("Control+s")
    expect(page.locator(".dialog .diff")).to_be_visible()
    expect(page.locator(".dialog .doubt")).to_contain_text("The policy has 1 error")
    assert_usable(page, "save")


def test_a_mistake_is_underlined_listed_and_explained(page):
    replace_text(page, "client.country", "client.contry")
    entry = page.locator(".write .problems button")
    expect(entry).to_contain_text("did you mean `client.country`?")
    expect(page.locator(".cm-lintRange-error")).to_have_text("client.contry")
    expect(page.locator(".status")).to_contain_text("1 error")
    expect(page.locator(".answering")).to_contain_text("has errors")
    page.locator("#file").focus()
    entry.click()
    expect(page.locator(".cm-content")).to_be_focused()
    page.keyboard.insert_text("client.country")
    expect(page.locator(".status")).to_contain_text("No problems")
    expect(page.locator(".verdict")).to_contain_text("Allowed")


def test_facts_lists_and_keys_are_completed(page):
    replace_text(page, "client.country in lists.blocked", "")
    page.keyboard.type("client.cou", delay=20)
    expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text("client.country")
    expect(page.locator(".cm-completionInfo code")).to_have_text("deny: client.country in lists.embargoed")
    page.wait_for_timeout(100)  # the list takes no key in its first moment, so that nobody picks by accident
    page.keyboard.press("Enter")
    page.keyboard.type(" in lists.bl", delay=20)
    expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text("lists.blocked")
    page.wait_for_timeout(100)
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_contain_text("No problems")
    assert "deny: client.country in lists.blocked" in text_of(page)


def test_functions_are_completed_where_they_can_be_called(page):
    replace_text(page, "client.country in lists.blocked", "")
    page.keyboard.type("client.network.start", delay=20)
    expect(page.locator(".cm-completionInfo code")).to_have_text("string.startsWith(string) -> bool")
    page.keyboard.press("Escape")
    replace_text(page, "client.network.start", "")
    page.keyboard.type("now < timest", delay=20)
    expect(page.locator(".cm-completionInfo code")).to_have_text("timestamp(string) -> timestamp")


def test_keys_facts_and_words_of_cases_are_completed(page):
    page.locator("#file").select_option(label="policy.cases.yaml")
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+End")
    for key, word in (("- na", "name"), ("giv", "given"), ("  kyc.ti", "kyc.tier"), ("ve", "verified")):
        page.keyboard.type(key, delay=20)
        expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text(word)
        page.wait_for_timeout(100)  # as above
        page.keyboard.press("Enter")
        if word != "kyc.tier":
            page.keyboard.type("a new one\n" if word == "name" else "\n")
    assert "\n- name: a new one\n  given:\n    kyc.tier: verified\n" in text_of(page)


def test_another_country_another_decision_with_the_reason(page):
    page.locator("#fact-client-country").select_option("KP")
    expect(page.locator(".verdict")).to_contain_text("Refused (403)")
    expect(page.locator(".decision")).to_contain_text("“Not available in your region.”")
    expect(page.locator(".rule[open]").first).to_contain_text('client.country = "KP"')
    page.locator("#fact-client-country").select_option("")
    expect(page.locator(".decision")).to_contain_text("counted against the caller")


def test_a_pasted_request_fills_the_form(page):
    page.locator(".paste > summary").click()
    page.locator("#paste").fill(CURL)
    page.locator("#paste-country").fill("no")
    page.get_by_role("button", name="Read it into the form").click()
    expect(page.locator(".said")).to_contain_text("Let in")
    expect(page.locator("#fact-request-model")).to_have_value("gpt-5")
    expect(page.locator("#fact-account-id")).to_have_value("acme")
    expect(page.locator("#fact-client-country")).to_have_value("NO")


def test_what_is_no_request_is_said_to_be_none(browser, studio):
    page = browser.new_page()  # its console says that the server refused it
    page.goto(studio.address)
    page.locator(".paste > summary").click()
    page.locator("#paste").fill("nonsense")
    page.get_by_role("button", name="Read it into the form").click()
    expect(page.locator(".said .fault")).to_contain_text("It is no request")
    page.close()


def test_cases_run_as_one_types_and_show_why_they_fail(page):
    page.locator("#tab-cases").click()
    expect(page.locator(".summary")).to_contain_text("3 cases passed")
    expect(page.locator(".cm-coverage .cover").first).to_be_visible()
    replace_text(page, "kyc.tier >= tier.basic", "kyc.tier >= tier.verified")
    expect(page.locator(".summary")).to_contain_text("2 cases passed, 1 failed")
    expect(page.locator(".failure")).to_contain_text("allow")
    page.locator(".failure summary").first.click()
    expect(page.locator(".failure .part.false").first).to_be_visible()
    page.locator(".case .small").first.click()
    expect(page.locator(".case").first).to_contain_text("failed: a customer is let in")
    page.locator(".case .name").first.click()
    expect(page.locator("#file option:checked")).to_have_text("policy.cases.yaml")


def test_what_was_opened_stays_open_and_the_keyboard_where_it_was(page):
    rule = page.locator(".rule", has_text="blocked-region")
    rule.locator("summary").click()
    page.locator("#fact-client-country").select_option("NO")
    expect(rule).to_contain_text('client.country = "NO"')
    expect(rule).to_have_attribute("open", "")
    page.locator("#tab-cases").click()
    run = page.locator(".case .small").nth(1)
    run.focus()
    with page.expect_response("**/api/cases"):
        page.keyboard.press("Enter")
    expect(page.locator(".summary")).to_contain_text("3 cases passed")
    expect(run).to_be_focused()


def test_the_map_and_its_table_say_who_is_refused(page):
    page.locator("#tab-map").click()
    expect(page.locator('[data-code="KP"]')).to_have_class("land refused")
    expect(page.locator('[data-code="NO"]')).to_have_class("land changed")
    page.locator("#map-country").select_option("IR")
    expect(page.locator(".details")).to_contain_text("Iran (IR): Refused, by blocked-region.")
    page.get_by_role("button", name="Refused 2").click()
    expect(page.locator(".rows tbody tr")).to_have_count(2)
    page.locator("#map-tier").select_option("verified")
    expect(page.locator('[data-code="NO"]')).to_have_class("land allowed")


def test_a_comparison_shows_what_the_change_would_have_done(page):
    replace_text(page, "client.country in lists.blocked", 'client.country == "DE"')
    page.locator("#tab-compare").click()
    page.locator("#panel-compare .primary").click()
    expect(page.locator(".compare .answer")).to_contain_text("30 requests of 90 (33.33 %) would no longer be let in")
    expect(page.locator(".compare")).to_contain_text("Germany (DE)")
    expect(page.locator(".reasons")).to_contain_text("blocked-region")
    assert "30 newly refused" in page.locator(".timeline svg").get_attribute("aria-label")


def test_a_comparison_can_be_called_off(tmp_path, open_page):
    with Running(write_files(tmp_path / "policies", lines=20_000)) as running:
        page = open_page(running.address)
        page.locator("#tab-compare").click()
        page.locator("#panel-compare .primary").press("Enter")
        expect(page.locator(".compare progress")).to_be_visible()
        expect(page.locator(".compare [role=status]")).to_have_text("Comparing…")
        expect(page.get_by_role("button", name="Call it off")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".compare [role=status]")).to_have_text("Called off.")
        expect(page.locator("#panel-compare .primary")).to_be_focused()
        assert_usable(page, "called off")
        assert running.end() == 0


@pytest.mark.parametrize(("data", "why"), [("", "It is empty."), ("x\ny\n", "None of its 2 lines can be read")])
def test_what_is_no_recording_is_said_to_be_none(own_studio, open_page, data, why):
    (own_studio.folder / "day.jsonl").write_text(data)
    page = open_page(own_studio.address)
    page.locator("#tab-compare").click()
    page.locator("#panel-compare .primary").click()
    expect(page.locator(".compare .fault")).to_contain_text(f"There is nothing to compare on. {why}")


def test_a_comparison_says_when_it_is_no_longer_about_what_is_edited(page):
    page.locator("#tab-compare").click()
    page.locator("#panel-compare .primary").click()
    expect(page.locator(".compare [role=status]")).to_contain_text("Compared: 0 requests of 90")
    replace_text(page, "60 per minute", "30 per minute")
    expect(page.locator(".compare [role=status]")).to_contain_text("has been edited since")


def test_a_save_takes_a_click_that_says_so(own_studio, open_page):
    page, policy = open_page(own_studio.address), own_studio.folder / "policy.yaml"
    replace_text(page, "60 per minute", "30 per minute")
    page.keyboard.press("Control+s")
    expect(page.locator(".dialog .added")).to_contain_text("30 per minute")
    assert policy.read_text() == POLICY
    page.get_by_role("button", name="Save to policy.yaml").click()
    expect(page.locator(".dialog[open]")).to_have_count(0)
    assert policy.read_text() == POLICY.replace("60 per minute", "30 per minute")
    expect(page.locator(".top .primary")).to_be_disabled()
    expect(page.locator(".cm-content")).to_be_focused()
    with page.expect_response("**/api/check"):
        page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".notice", has_text="Saved to policy.yaml")).to_be_visible()


def test_what_others_saved_is_not_written_over(own_studio, open_page):
    page, policy = open_page(own_studio.address), own_studio.folder / "policy.yaml"
    replace_text(page, "60 per minute", "30 per minute")
    policy.write_text(f"{POLICY}# theirs\n")
    page.keyboard.press("Control+s")
    expect(page.locator(".dialog .fault")).to_contain_text("changed on the disk")
    expect(page.get_by_role("button", name="Save to policy.yaml")).to_be_disabled()
    page.get_by_role("button", name="Load it from the disk").click()
    expect(page.locator(".cm-content")).to_contain_text("# theirs")
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+z")
    expect(page.locator(".cm-content")).to_contain_text("30 per minute")
    assert policy.read_text() == f"{POLICY}# theirs\n"


def test_what_others_change_shows_when_somebody_comes_back_to_the_page(own_studio, open_page):
    page, policy = open_page(own_studio.address), own_studio.folder / "policy.yaml"
    page.locator(".cm-line", has_text="60 per minute").click()
    page.keyboard.press("End")
    policy.write_text(f"# theirs\n{POLICY}")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".cm-line").first).to_have_text("# theirs")
    expect(page.locator(".top .primary")).to_be_disabled()
    page.keyboard.type(" # mine")  # the cursor is where it was
    expect(page.locator(".cm-content")).to_contain_text("60 per minute # mine")
    policy.write_text(POLICY)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".doubt")).to_contain_text("Changed on the disk since it was opened here: policy.yaml.")
    expect(page.locator(".cm-content")).to_contain_text("60 per minute # mine")


def test_a_studio_that_is_gone_is_told_of_and_another_one_is_taken_up(tmp_path, browser):
    folder = write_files(tmp_path / "policies")
    with Running(folder) as running:
        port = running.address.split(":")[-1].partition("/")[0]
        page = browser.new_page()  # its console says that nobody answers
        page.goto(running.address)
        expect(page.locator(".verdict")).to_be_visible()
        assert running.end() == 0
        page.locator(".cm-content").focus()
        page.keyboard.type("# mine")
        expect(page.get_by_role("alert")).to_contain_text("Is `modelfence studio` still running?")
        expect(page.locator(".status")).to_have_text("Not checked")
        with Running(folder, "--port", port) as again:
            page.keyboard.type("!")
            expect(page.get_by_role("alert")).to_contain_text("Open the address that modelfence studio has printed.")
            page.on("dialog", lambda dialog: dialog.accept())  # there are unsaved changes
            page.goto(again.address)
            expect(page.locator(".verdict")).to_be_visible()
            assert "#" not in page.url
            page.close()
            assert again.end() == 0


def test_hostile_text_stays_text(own_studio, open_page):
    folder = own_studio.folder
    hostile = POLICY.replace("Not available in your region.", f"'{HOSTILE}'")
    (folder / "policy.yaml").write_text(hostile)
    (folder / "policy.cases.yaml").write_text(CASES.replace("a customer is let in", f"'{HOSTILE}'"))
    page = open_page(own_studio.address)
    page.locator("#fact-client-country").select_option("KP")
    expect(page.locator(".decision")).to_contain_text(HOSTILE)
    page.locator("#tab-cases").click()
    expect(page.locator(".case").first).to_contain_text(HOSTILE)
    replace_text(page, "lists.blocked", "lists.constructor")
    expect(page.locator(".cm-lintRange-error")).to_have_text("lists.constructor")
    page.locator(".cm-lintRange-error").hover()
    expect(page.locator(".cm-tooltip-hover")).to_contain_text("unknown list")
    replace_text(page, "client.country", f'"{HOSTILE}"')
    expect(page.locator(".write .problems button").first).to_be_visible()
    assert page.locator("img").count() == 0
    assert page.title().endswith("modelfence studio")


def test_tabs_and_views_are_reached_by_the_keyboard(page):
    page.keyboard.press("Alt+3")
    expect(page.locator("#tab-map")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-compare")).to_be_visible()
    page.keyboard.press("Home")
    expect(page.locator("#tab-request")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Alt+e")
    expect(page.locator(".cm-content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".cm-content")).not_to_be_focused()


def test_a_page_without_the_token_says_where_to_find_it(browser, studio):
    page = browser.new_page()
    page.goto(studio.address.partition("#")[0])
    expect(page.get_by_role("alert")).to_have_text("Open the address that modelfence studio has printed.")
    page.close()


def test_the_token_leaves_the_address_and_survives_a_reload(page):
    assert "#" not in page.url
    page.reload()
    expect(page.locator(".verdict")).to_be_visible()
