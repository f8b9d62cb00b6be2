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
  if (!walk.currentNode.data.trim() || !box.width || box.width <= 1 || e.closest("svg")) continue;
  const [a, b] = [light(rgb(style.color)), light(ground(e))].sort((x, y) => y - x);
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
def opened(browser, made_up, tmp_path):
    """The page of a whole run, opened at a width and in a colour scheme."""

    def go(size=DESK, scheme="light", html=None):
        path = tmp_path / "report.html"
        path.write_text(html or page.render(made_up()), encoding="utf-8")
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


def requests(browser):
    """Addresses that were asked for since the last look."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def test_nothing_goes_wrong_and_nothing_is_fetched(opened):
    browser = opened()
    assert browser.get_log("browser") == []
    assert [url.split("/")[-1] for url in requests(browser)] == ["report.html"]


def test_a_page_that_does_fetch_is_seen(opened, made_up):
    bad = page.render(made_up()).replace("</main>", '<img src="other.png" alt=""></main>')
    bad = bad.replace("img-src data:", "img-src * data: file:")
    browser = opened(html=bad)
    assert any(url.endswith("other.png") for url in requests(browser))
    assert browser.get_log("browser")


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_every_picture_is_there_at_every_width(opened, size):
    browser = opened(size)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('svg[role]')].map(e => e.getBoundingClientRect())"
        ".map(box => [box.width, box.height])"
    )
    assert len(boxes) >= 12
    assert all(width > 80 and height > 20 for width, height in boxes)
    wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], "the page scrolls sideways"


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
    assert len(images) >= 11
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


def test_a_page_for_a_million_rows_is_small_and_opens(opened, made_up):
    stages = {name: dict(manifest) for name, manifest in made_up().stages.items()}
    for name in ("ingest", "scrub", "plant"):
        counts = stages[name]["counts"].items()
        stages[name]["counts"] = {k: v * 300 if isinstance(v, int) else v for k, v in counts}
    many = {model: canaries * 40 for model, canaries in made_up().exposures.items()}
    html = page.render(made_up(stages=stages, exposures=many))
    assert len(html.encode()) < 3e6
    assert opened(html=html).execute_script("return document.querySelectorAll('svg[role]').length") >= 12
