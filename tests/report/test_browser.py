"""The page in a real browser, without a network: no error, no request, all that is drawn, order, contrast, width."""

import base64
import itertools
import json
import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from speechpriv.report import page

PICTURES = {
    "accuracy", "flow", "people", "findings", "voices", "disguises", "set-aside", "spent", "public-errors", "phrases",
    "rehearsal",
    "exposure-private", "exposure-baseline", "bounds", "told-apart", "ledger", "formats", "durations", "members",
}  # fmt: skip
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no browser here; on Debian: apt-get install chromium chromium-driver"
)
PHONE, DESK = (390, 844), (1280, 900)
# Every piece of text that is shown, with its contrast (WCAG 2.1) to the nearest background that is painted.
CONTRASTS = """
const light = c => { const v = c.map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                     return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const rgb = s => s.match(/[0-9.]+/g).map(Number);
const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                      if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const e = walk.currentNode.parentElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  if (!walk.currentNode.data.trim() || !box.width || box.width <= 1 || e.closest("title, desc")) continue;
  const ink = e.closest("svg") ? style.fill : style.color;
  const [a, b] = [light(rgb(ink)), light(ground(e))].sort((x, y) => y - x);
  found.push([(a + .05) / (b + .05), walk.currentNode.data.trim().slice(0, 40)]);
}
return found;
"""


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, synthetic, tmp_path):
    """The page of a whole run, opened at a width and in a colour scheme."""

    def go(size=DESK, scheme="light", html=None):
        path = tmp_path / "report.html"
        path.write_text(html or page.render_page(synthetic()), encoding="utf-8")
        browser.set_window_size(*size)
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(path.as_uri())
        return browser

    return go


@pytest.fixture
def others(synthetic, run_dir, tmp_path):
    """The two other pages: of several runs side by side, and the one for private eyes."""
    page.write_report(run_dir)
    both = page.write_comparison([run_dir, run_dir], tmp_path / "comparison.html")
    private = run_dir / "private" / "listen.html"
    return {"comparison": both.read_text(encoding="utf-8"), "private": private.read_text(encoding="utf-8")}


def requests(browser):
    """Addresses that were asked for since the last look."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def test_nothing_goes_wrong_and_nothing_is_fetched(opened):
    browser = opened()
    assert browser.get_log("browser") == []
    assert [url.split("/")[-1] for url in requests(browser)] == ["report.html"]


def test_a_page_that_does_fetch_is_seen(opened, synthetic):
    bad = page.render_page(synthetic()).replace("</main>", '<img src="other.png" alt=""></main>')
    bad = bad.replace("img-src data:", "img-src * data: file:")
    browser = opened(html=bad)
    assert any(url.endswith("other.png") for url in requests(browser))
    assert browser.get_log("browser")


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_every_picture_is_there_at_every_width(opened, size):
    browser = opened(size)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('svg[role]')].map(e => [e.getAttribute('aria-labelledby').split(' ')[0],"
        " e.getBoundingClientRect().width, e.getBoundingClientRect().height, e.querySelectorAll('g > title').length])"
    )
    assert {name.removesuffix("-title") for name, *_ in boxes} == PICTURES
    assert all(width > 80 and height > 20 for _, width, height, _ in boxes)
    assert all(hovered > 0 for name, _, _, hovered in boxes if name != "members-title")
    assert_no_sideways(browser)


@pytest.mark.parametrize("name", ["comparison", "private"])
def test_the_other_pages_are_sound_too(opened, others, name):
    for size in (DESK, PHONE):
        browser = opened(size, html=others[name])
        assert browser.get_log("browser") == []
        assert len(requests(browser)) == 1
        assert_no_sideways(browser)
    found = opened(scheme="dark", html=others[name]).execute_script(CONTRASTS)
    assert [(round(ratio, 2), words) for ratio, words in found if ratio < 4.5] == []


def assert_no_sideways(browser):
    wide, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window, "the page scrolls sideways"


def test_what_is_under_the_pointer_says_what_it_is(opened):
    browser = opened()
    said = browser.execute_script(
        "const e = document.querySelector('svg[aria-labelledby^=exposure-baseline] g');"
        "e.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = e.getBoundingClientRect();"
        "return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)"
        ".closest('g').querySelector('title').textContent"
    )
    assert said.startswith(("chance", "never", "1 ×"))


def test_a_screen_reader_meets_the_verdict_first_and_the_parts_in_order(opened):
    browser = opened()
    browser.execute_cdp_cmd("Accessibility.enable", {})  # without it, the tree may still be empty
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    told = [(node.get("role", {}).get("value"), node.get("name", {}).get("value", "")) for node in nodes]
    landmarks = [role for role, _ in told if role in {"banner", "navigation", "main", "contentinfo"}]
    assert landmarks == ["banner", "navigation", "main", "contentinfo"]
    order = [name for role, name in told if role in {"heading", "StaticText"}]
    parts = [
        "PASS", "What is guaranteed", "What it cost in accuracy", "Why the audit says so", "Where the data went",
        "Private training", "The audit", "What is not covered", "Runs on this corpus", "Listen", "What is shipped",
        "Environment and how to check",
    ]  # fmt: skip
    places = [order.index(part) for part in parts]
    assert places == sorted(places)
    assert not [role for role, name in told if role in {"link", "Audio", "image", "DisclosureTriangle"} and not name]


def test_the_keyboard_reaches_everything_from_top_to_bottom(opened):
    browser = opened()
    count = browser.execute_script(
        "window.all = [...document.querySelectorAll('a[href], summary, audio, [tabindex]')]; return all.length"
    )
    assert count > 10
    seen = []
    for _ in range(3 * count):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        place = browser.execute_script("return all.indexOf(document.activeElement)")
        if place < 0 and len(set(seen)) == count:
            break
        if place >= 0:
            seen.append(place)
    assert sorted(set(seen)) == list(range(count))
    assert seen == sorted(seen)


def test_headings_go_down_one_level_at_a_time_and_pictures_have_names(opened):
    browser = opened()
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    images = [node for node in tree if node.get("role", {}).get("value") == "image"]
    assert len(images) == len(PICTURES) - 1  # the dots of the first screen repeat its sentence
    assert all(node["name"]["value"].strip() for node in images)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(opened, scheme):
    found = opened(scheme=scheme).execute_script(CONTRASTS)
    assert len(found) > 100
    assert [(round(ratio, 2), words) for ratio, words in found if ratio < 4.5] == []


def test_it_prints(opened):
    printed = opened().execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")
    assert len(printed) > 50_000


def test_a_page_for_a_million_rows_is_small_and_opens(opened, synthetic):
    stages = {name: dict(manifest) for name, manifest in synthetic().stages.items()}
    for name in ("ingest", "scrub", "plant"):
        counts = stages[name]["counts"].items()
        stages[name]["counts"] = {k: v * 300 if isinstance(v, int) else v for k, v in counts}
    many = {model: canaries * 40 for model, canaries in synthetic().exposures.items()}
    html = page.render_page(synthetic(stages=stages, exposures=many))
    assert len(html.encode()) < 3e6
    assert opened(html=html).execute_script("return document.querySelectorAll('svg[role]').length") >= 12
