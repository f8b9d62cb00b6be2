import itertools
import math
import re
import stat
from html.parser import HTMLParser

import pytest

from speechpriv.claim import OtherRelease
from speechpriv.report import page
from speechpriv.report.facts import STAGES, Facts

VOID = {"meta", "link", "br", "hr", "img", "input", "source"}
HOSTILE = "\"'><script>alert(1)</script><img src=http://x.invalid onerror=alert(1)>{{ 7*7 }}&lt;"
OF_TRAINING_PEOPLE = {
    "flow",
    "people",
    "findings",
    "voices",
    "disguises",
    "set-aside",
    "exposure-baseline",
    "told-apart",
    "durations",
}
PICTURES = {
    "members", "accuracy", "flow", "people", "findings", "voices", "disguises", "set-aside", "spent", "public-errors",
    "phrases", "rehearsal",
    "exposure-private", "exposure-baseline", "bounds", "told-apart", "ledger", "formats", "durations",
}  # fmt: skip


class Page(HTMLParser):
    """A strict reader: every tag is closed in order, every id is unique."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), "an id is used twice"
        self.ids = set(ids)

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), f"{tag}: an attribute is given twice"
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert "svg" in self.open, f"<{tag}/> closes itself, which HTML does not know outside SVG"
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> is out of order"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self):
        return " ".join(" ".join(self.text).split())


def pictures(read):
    return {svg["aria-labelledby"].split()[0].removesuffix("-title") for svg in read.all("svg") if "role" in svg}


def assert_sound(html):
    """Well-formed, one file, nothing that runs or is fetched."""
    read = Page(html)
    assert html.startswith("<!doctype html>")
    assert not re.search(r"@import|url\(|http-equiv=.refresh", html)
    assert {tag for tag, _ in read.elements}.isdisjoint({"script", "iframe", "object", "embed", "form", "img", "base"})
    for tag, attributes in read.elements:
        assert not any(name.startswith("on") or name in {"srcset", "style", "action"} for name in attributes)
        for name in ("src", "href", "xlink:href"):
            if name in attributes:
                assert re.match(r"#\w|data:", attributes[name]), f"{tag} {name} leads out of the file"
    (policy,) = [meta["content"] for meta in read.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    return read


@pytest.mark.parametrize(
    "broken", ["<p><b></p></b>", "<p>", "</p>", "<p/>", '<i id="a"></i><i id="a"></i>', '<p id="a" id="b"></p>']
)
def test_the_reader_of_these_tests_refuses(broken):
    with pytest.raises(AssertionError):
        Page(broken)


@pytest.mark.parametrize(
    "bad",
    ["<script></script>", '<a href="https://x.invalid">x</a>', '<p onclick="x">x</p>', "<style>@import 'x'</style>"],
)
def test_the_check_of_these_tests_refuses(synthetic, bad):
    html = page.render_page(synthetic())
    assert_sound(html)
    with pytest.raises(AssertionError):
        assert_sound(html.replace("</main>", bad + "</main>"))


def test_every_picture_and_its_table_are_there(synthetic):
    read = assert_sound(page.render_page(synthetic()))
    assert pictures(read) == PICTURES
    # The dots of the first screen repeat its sentence; every other picture is a figure with a table.
    assert len(read.all("figure")) == len(PICTURES) - 1
    assert len(read.all("summary")) == len(PICTURES) - 1 + 1  # and the settings
    assert len(read.all("audio")) == 5


def test_the_first_screen_says_verdict_claim_and_price(synthetic):
    text = Page(page.render_page(synthetic())).words()
    before = text[: text.index("Where the data went")]
    for part in (
        "PASS", "Positive control: the baseline is caught", "at most 25 of 100 speakers", "epsilon 7.9",
        "61.6 % · WER 38.4 %", "88.8 % · WER 11.2 %", "76.3 % · WER 23.7 %", "costs 12.5 points",
        "38 units (one speaker each)",
    ):  # fmt: skip
        assert part in before, part


def test_figures_of_all_sections_are_there(synthetic):
    text = Page(page.render_page(synthetic())).words()
    for part in (
        "3,194", "too long", "nobody is in both parts", "153", "email", "noise multiplier 2.87", "1e-5",
        "0.523", "0.961", "2e-9", "p = 0.61", "60 candidates, 31 of them planted", "People who are only mentioned",
        "0a1b2c3d", "epsilon is 8.6 in all", "model.onnx 7.3 MB", "5f" * 32, "99.5 % of 200 test", "torch 2.11.0",
        "Trained on 2,680", "Set aside: not usable − 52", "Kept for testing − 629", "310 phrases of 190 words",
        "turn, at the beginning 93.4", "lights, at the end 60.2", "0.53 (0.47 to 0.59)",
        "7.3 MB · 93.1 times real time", "model.int8.onnx 96.0 % 24.8 %", "With 8-bit weights: shipped",
        "Of the budget of epsilon 10, 1.4 is left", "voice disguised",
        "speechpriv audit runs/assistant-1a2b3c4d", "speechpriv run assistant",
    ):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(("word", "tone"), [("PASS", "pass"), ("FAIL", "fail"), ("INCONCLUSIVE", "unsure")])
def test_the_badge_shows_the_verdict(synthetic, word, tone):
    html = page.render_page(synthetic(verdict={**synthetic().verdict, "verdict": word}))
    assert re.search(rf'<div class="verdict {tone}"><span class="badge">{word}</span>', html)
    assert f"<title>{word}: privacy report" in html


def test_an_unknown_verdict_never_looks_like_a_pass(synthetic):
    html = page.render_page(synthetic(verdict={"verdict": "PASS!"}))
    assert '<div class="verdict unsure">' in html


def test_an_override_of_the_gate_is_on_the_first_screen(synthetic):
    assert "gate was overridden" not in page.render_page(synthetic())
    counts = {"override": "agreed for one trial", "overridden": ["The audit's verdict is FAIL; expected PASS."]}
    html = page.render_page(synthetic(bundle={"counts": counts}))
    assert "expected PASS" in html
    assert html.index("agreed for one trial") < html.index("<nav")


def test_bounds_and_claim_of_different_adjacency_are_not_compared(synthetic):
    read = Page(page.render_page(synthetic(claim=synthetic().claim.model_copy(update={"adjacency": "replace one"}))))
    assert pictures(read) == PICTURES - {"bounds"}
    assert "not compared" in read.words()


@pytest.mark.parametrize("missing", STAGES)
def test_a_stage_that_was_not_run_is_a_sentence(synthetic, missing):
    whole = synthetic()
    emptied: dict = {"stages": {name: found for name, found in whole.stages.items() if name != missing}}
    emptied |= {
        "train": {"claim": None, "epsilon_by_step": [], "wer_by_step": []},
        "evaluate": {"figures": {}},
        "attackers": {"voices": {}, "disguises": []},
        "audit": {"verdict": {}, "exposures": {}},
        "phrases": {"phrases": []},
        "rehearse": {"rehearsal": []},
    }.get(missing, {})
    read = assert_sound(page.render_page(synthetic(**emptied)))
    lost = {
        "ingest": set(), "scrub": {"findings"}, "evaluate": {"accuracy"}, "attackers": {"voices", "disguises"},
        "train": {"members", "spent", "public-errors", "ledger"},
        "audit": {"exposure-private", "exposure-baseline", "bounds", "told-apart"},
        "phrases": {"phrases"}, "rehearse": {"rehearsal"},
    }  # fmt: skip
    assert PICTURES - pictures(read) >= lost.get(missing, set())
    if missing in {"ingest", "scrub", "train", "evaluate", "attackers", "audit"}:
        assert re.search(r"was not run|has not run", read.words())


def test_a_run_without_any_stage_is_a_page():
    read = assert_sound(page.render_page(Facts("assistant-00000000")))
    assert pictures(read) == set()
    assert "NOT AUDITED" in read.words()


def replaced(value, new):
    """Every leaf replaced, or every key and leaf where `new` is text."""
    if isinstance(value, dict):
        return {key: replaced(item, new) for key, item in value.items()}
    return [replaced(item, new) for item in value] if isinstance(value, list | tuple) else new


@pytest.mark.parametrize("new", [HOSTILE, math.nan, math.inf, -math.inf, None, -1, 10**400, True, HOSTILE * 100])
def test_whatever_the_values_the_page_is_sound(synthetic, new):
    whole = synthetic()
    facts = {name: replaced(getattr(whole, name), new) for name in (
        "figures", "verdict", "exposures", "samples", "voices", "disguises",
    )}  # fmt: skip
    counts = {
        "quarantined": {HOSTILE: new},
        "findings": {HOSTILE: new},
        "rows_read": new,
        "rows": new,
        "parity": new,
        "override": new,
    }
    hostile_claim = whole.claim.model_copy(update={
        "unit": HOSTILE, "adjacency": HOSTILE, "not_covered": (HOSTILE,) * 100, "composed_epsilon": math.inf,
        "other_releases": (OtherRelease(run_id=HOSTILE, epsilon=1),) * 100,
    })  # fmt: skip
    manifest = {"counts": counts, "versions": {HOSTILE: HOSTILE}, "duration_s": new}
    facts |= {
        "name": HOSTILE, "claim": hostile_claim, "epsilon_by_step": [[new, new]],
        "rehearsal": [[new, new]], "wer_by_step": [[new, new]], "phrases": [[HOSTILE, HOSTILE, new], [new, new], [new]],
        "stages": dict.fromkeys(STAGES, manifest),
        "bundle": {"files": {HOSTILE: HOSTILE}, "counts": counts}, "sizes_bytes": {HOSTILE: 1},
        "config": {"data": {"source": "demo"}, "train": {"base": HOSTILE}}, "budget": {"epsilon": new, "left": new},
    }  # fmt: skip
    html = page.render_page(Facts(**facts))
    read = assert_sound(html)
    assert "<script>alert(1)</script>" in read.words()  # as text
    assert "{{ 7*7 }}" in read.words()
    assert len(html) < 3_000_000


def test_nothing_private_is_on_the_page(synthetic, tmp_path):
    private = "zzprivatezz"
    stages = {
        name: {**manifest, "inputs": {"corpus": private}, "config": {"path": private}, "files": {private: private},
               "counts": {**manifest["counts"], "note": private, "losses": [private]}}
        for name, manifest in synthetic().stages.items()
    }  # fmt: skip
    stages["ingest"]["counts"]["quarantined"] = {f"silent: {private}": 3, "silent: other": 4}
    config = {
        **synthetic().config, "data": {"source": "folder", "path": f"/{private}"},
        "train": {"base": f"/{private}/model"},
    }  # fmt: skip
    samples = [{"title": private, "versions": [{"moment": private, "text": private, "flac_base64": "AAAA"}]}]
    html = page.render_page(synthetic(stages=stages, config=config, samples=samples))
    assert private not in html
    assert "<audio" not in html
    assert "silent: 7." in html  # counted, without the particulars


def test_players_are_for_the_synthetic_corpus_alone(synthetic):
    for source in ("auto", "folder", "hub", None):
        html = page.render_page(synthetic(config={"data": {"source": source, "path": None}}))
        assert "<audio" not in html
        assert "my name is" not in html


def test_a_run_of_a_million_rows_stays_small(synthetic):
    stages = dict(synthetic().stages)
    quarantined = {f"reason {i}": i for i in range(1_000)}
    left = 10**6 - sum(quarantined.values())
    stages["ingest"] = {"counts": {"rows_read": 10**6, "rows_kept": left, "quarantined": quarantined}}
    exposures = [{"repeats": i % 5, "planted": True, "exposure_bits": i % 10} for i in range(4_000)]
    sounds = [{"moment": "long", "text": "", "flac_base64": "A" * size} for size in (400_000, 300_000)]
    sample = {"title": "long", "versions": sounds}
    html = page.render_page(synthetic(
        stages=stages, exposures={"private": exposures, "baseline": exposures}, samples=[sample] * 20,
        epsilon_by_step=[[i, i / 1e4] for i in range(10_000)],
    ))  # fmt: skip
    assert_sound(html)
    assert 500_000 < len(html) < 3_000_000
    assert html.count("<audio") == 4
    assert "990 other kinds" in html  # and two of the scrubber's


def test_headings_descend_one_at_a_time_and_links_arrive(synthetic):
    read = Page(page.render_page(synthetic()))
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    anchors = [link["href"] for link in read.all("a")]
    assert len(anchors) == 10
    assert {anchor[1:] for anchor in anchors} <= read.ids
    for svg in read.all("svg"):
        assert set(svg["aria-labelledby"].split()) <= read.ids
    for player in read.all("audio"):
        assert player["aria-label"]
        assert "controls" in player


def test_it_fits_phones_paper_and_both_colour_schemes(synthetic):
    html = page.render_page(synthetic())
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert '<meta name="color-scheme" content="light dark">' in html
    for part in ("color-scheme: light dark", "(prefers-color-scheme: dark)", "@media print", "(max-width: 560px)"):
        assert part in html


def contrast(one, other):
    """WCAG 2.2, contrast ratio of two colours #rrggbb or #rgb."""

    def luminance(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_both_schemes(synthetic):
    assert contrast("#000000", "#fff") == pytest.approx(21)
    blocks = re.findall(r":root \{([^}]*--page[^}]*)\}", page.render_page(synthetic()))
    assert len(blocks) == 3  # light, dark, paper
    for block in blocks:
        colour = dict(re.findall(r"--([a-z]+): (#\w+)", block))
        for ground in ("page", "card"):
            for text in ("ink", "soft", "private", "pass", "fail", "unsure"):
                assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
        for mark in ("private", "baseline", "base", "plain"):
            assert contrast(colour[mark], colour["card"]) >= 3, mark
            assert contrast(colour[mark], colour["track"]) >= 3, mark


def test_write_puts_the_page_and_its_figures_into_the_release(run_dir):
    path = page.write_report(run_dir)
    assert path == run_dir / "release" / "report.html"
    assert {file.name for file in path.parent.iterdir()} == {"bundle", "report.html", "report.md", "report.json"}
    html = path.read_text(encoding="utf-8")
    assert pictures(assert_sound(html)) == PICTURES - OF_TRAINING_PEOPLE
    assert "Private edition" not in html
    for private in (str(run_dir.parent), "/home/somebody", "424.2424"):
        for file in path.parent.glob("report.*"):
            assert private not in file.read_text(encoding="utf-8")
    assert page.write_report(run_dir).read_text(encoding="utf-8") == html


def test_the_private_edition_has_all_and_is_for_its_owner_alone(run_dir):
    page.write_report(run_dir)
    html = (run_dir / "private" / "report.html").read_text(encoding="utf-8")
    assert pictures(assert_sound(html)) == PICTURES
    assert "Private edition" in html
    assert "Privacy costs 12.5 points" in html
    for name in ("report.html", "report.md", "report.json", "listen.html"):
        assert stat.S_IMODE((run_dir / "private" / name).stat().st_mode) == 0o600


def test_write_takes_a_run_in_which_nothing_has_run(tmp_path):
    (tmp_path / "runs").mkdir()
    assert "NOT AUDITED" in page.write_report(tmp_path / "runs").read_text(encoding="utf-8")
