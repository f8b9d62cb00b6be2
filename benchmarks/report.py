"""Size of the report of a run on a million recordings, and the time until a browser shows it.

python benchmarks/report.py

Beside it the page of a small run, so that what is left is what grows with the corpus. Needs Chromium and its driver.
"""

import base64
import runpy
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from selenium import webdriver

from speechpriv.report import page
from speechpriv.report.facts import Facts

ROWS, CANARIES, STEPS, ROUNDS = 1_000_000, 2_000, 5_000, 5
SYNTHETIC = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "report" / "conftest.py"))
SOUND_BYTES = 90_000  # of FLAC: about five seconds


def large() -> Facts:
    """A run on a million recordings: more kinds, canaries, phrases, steps and audio than are shown."""
    rng = np.random.default_rng(0)
    stages = {name: dict(manifest) for name, manifest in SYNTHETIC["stages"]().items()}
    for name in ("ingest", "personal", "scrub", "anonymize", "plant", "baseline"):
        counts = stages[name]["counts"]
        stages[name]["counts"] = {key: value * (ROWS // 3_000) if isinstance(value, int) else value
                                  for key, value in counts.items()}  # fmt: skip
    stages["ingest"]["counts"]["quarantined"] = {f"reason {place}": place for place in range(500)}
    exposures = {
        model: [
            {"repeats": int(2 ** rng.integers(5)), "planted": bool(rng.random() < 0.5), "exposure_bits": float(bits)}
            for bits in rng.exponential(1.44, CANARIES)
        ]
        for model in ("private", "baseline")
    }
    sound = base64.b64encode(rng.bytes(SOUND_BYTES)).decode()
    moments = ("as recorded", "words taken out", "voice disguised")
    versions = [{"moment": moment, "text": "call [NAME]", "flac_base64": sound} for moment in moments]
    return SYNTHETIC["facts"](
        stages=stages, exposures=exposures,
        samples=[{"title": f"Recording {place}", "versions": versions} for place in range(20)],
        phrases=[["<s>", f"word{place}", float(place)] for place in range(20_000)],
        epsilon_by_step=[[step, 8 * (step / STEPS) ** 0.5] for step in range(1, STEPS + 1)],
    )  # fmt: skip


def seconds_to_show(browser: webdriver.Chrome, path: Path) -> float:
    """From asking for the page until all of it is laid out and painted."""
    browser.get("about:blank")
    started = time.perf_counter()
    browser.get(path.as_uri())
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return time.perf_counter() - started


def main() -> None:
    """Print size and the median time of a small and of a large page."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(switch)
    with tempfile.TemporaryDirectory() as directory:
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            for name, facts in (("small", SYNTHETIC["facts"]()), ("a million rows", large())):
                started = time.perf_counter()
                html = page.render_page(facts)
                written_s = time.perf_counter() - started
                path = Path(directory) / "report.html"
                path.write_text(html, encoding="utf-8")
                shown_s = statistics.median(seconds_to_show(browser, path) for _ in range(ROUNDS))
                size_mb = len(html.encode()) / 1e6
                print(f"{name:<15} {size_mb:5.2f} MB   written in {written_s:.2f} s   shown in {shown_s:.2f} s")
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
