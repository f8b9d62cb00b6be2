"""What may be heard, and where: synthetic voices on the page for everybody, real ones on the one that stays private."""

import base64
import dataclasses
import json
import re

import numpy as np
import pytest

from speechpriv import audio, store
from speechpriv import corpus as corpora
from speechpriv.corpus import Row
from speechpriv.drops import Dropped
from speechpriv.report import listen, page, samples

FLAC = {tone: audio.encode_flac(np.full(1_600, tone / 10, np.float32)) for tone in range(1, 9)}


@pytest.fixture
def recorded(run_dir):
    """A run with corpora: `a` lost a word, `b` did not, `probe` was planted; each disguised; `far` is for testing."""
    private = run_dir / "private"

    def row(name, tone, text, split="train", seconds=1.0):
        return Row(name, f"unit-{name}", split, FLAC[tone], text, seconds)

    raw = [row("b", 1, "turn it on"), row("a", 2, "call anna smith"), row("far", 3, "secret test", "test")]
    raw.append(row("long", 3, "much too long", seconds=60.0))
    probes = [row("probe", 4, "my card is one two")]
    cut = {"a": (5, "call [NAME]"), "probe": (6, "my card is [CARD]")}
    scrubbed = [
        dataclasses.replace(one, flac=FLAC[cut[one.id][0]], text=cut[one.id][1]) if one.id in cut else one
        for one in raw + probes
    ]
    disguised = [dataclasses.replace(one, flac=FLAC[7]) for one in reversed(scrubbed)]
    for stage, rows in {"ingest": raw, "scrub": scrubbed, "anonymize": disguised}.items():
        corpora.write(iter(rows), private / stage, lineage="made up")
        store.write_json(private / stage / store.MANIFEST, {"stage": "x", "identity": "x", "counts": {}, "files": {}})
    return run_dir


def source(run_dir, name):
    path = run_dir / "private" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "data": {"source": name, "path": None}}))


def test_each_recording_is_there_after_every_stage_that_changed_its_sound(recorded):
    first, second = samples.pick_samples(recorded / "private")
    assert [(version["moment"], version["text"]) for version in first["versions"]] == [
        ("as recorded", "call anna smith"), ("words taken out", "call [NAME]"), ("voice disguised", "call [NAME]"),
    ]  # fmt: skip
    assert [version["moment"] for version in second["versions"]] == ["as recorded", "voice disguised"]
    assert base64.b64decode(first["versions"][1]["flac_base64"]) == FLAC[5]


def test_the_words_that_are_shown_are_given_to_the_search_for_leaks(recorded):
    said = samples.write_samples(recorded / "private", {})
    assert all(text in said for text in ("call anna smith", "call [NAME]", "turn it on"))
    assert json.loads((recorded / "private" / samples.FILE).read_text()) == samples.pick_samples(recorded / "private")


def test_real_voices_are_heard_on_the_private_page_only(recorded):
    source(recorded, "folder")
    samples.write_samples(recorded / "private", {})  # even if somebody wrote samples of them where those of the demo go
    released = page.write_report(recorded)
    private = recorded / "private" / "listen.html"
    assert private.stat().st_mode & 0o777 == 0o600
    heard = private.read_text(encoding="utf-8")
    assert heard.count("<audio") == 5
    assert "call anna smith" in heard
    assert "secret test" not in heard
    assert "for nobody else" in heard
    for path in released.parent.glob("report.*"):
        text = path.read_text(encoding="utf-8")
        assert "<audio" not in text
        assert not any(base64.b64encode(flac).decode() in text for flac in FLAC.values())
        assert "anna smith" not in text


def test_synthetic_voices_are_heard_on_the_page_for_everybody(recorded):
    source(recorded, "demo")
    samples.write_samples(recorded / "private", {})
    html = page.write_report(recorded).read_text(encoding="utf-8")
    assert html.count("<audio") == 5
    assert 'aria-label="Recording 1, words taken out"' in html


def test_disguises_are_heard_side_by_side(recorded):
    def deep(rows):
        return [(row, FLAC[8]) for row in rows]

    def refusing(rows):
        return [(row, Dropped("nothing_to_say")) for row in rows]

    said = samples.write_samples(recorded / "private", {"deep": deep, "hoarse": refusing})
    *_, first, second = json.loads((recorded / "private" / samples.FILE).read_text())
    assert {first["versions"][0]["text"], second["versions"][0]["text"]} == {"call [NAME]", "turn it on"}
    for one in (first, second):
        assert [version["moment"] for version in one["versions"]] == ["undisguised", "by deep"]
        assert base64.b64decode(one["versions"][1]["flac_base64"]) == FLAC[8]
    assert "turn it on" in said
    source(recorded, "demo")
    assert page.write_report(recorded).read_text(encoding="utf-8").count("<audio") == 9


def test_a_corpus_that_was_deleted_leaves_a_page_without_players(recorded):
    for path in sorted((recorded / "private" / "scrub" / "table").iterdir()):
        path.unlink()
    (recorded / "private" / "scrub" / "table").rmdir()
    page.write_report(recorded)
    heard = (recorded / "private" / "listen.html").read_text(encoding="utf-8")
    assert "<audio" not in heard
    assert "nothing to compare" in heard


def test_the_private_page_loads_nothing_and_has_the_curves(recorded):
    page.write_report(recorded)
    html = (recorded / "private" / "listen.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|src=\"(?!data:)|href=\"(?!data:|#)|url\(", html)
    assert "Content-Security-Policy" in html
    for part in ("Share that was cut", "424", "clip norm, 1"):
        assert part in html


def test_curves_take_what_was_seen_and_leave_out_what_was_not():
    history = [
        {"cohort": 10, "clipped": 5, "median_norm": 2.0}, {"cohort": 0, "clipped": 0, "median_norm": None},
        {"cohort": 8, "clipped": 8, "median_norm": 3.0},
    ]  # fmt: skip
    rows = {title: plot.rows for title, _, plot in listen.read_curves(history, 1.0)}
    assert rows["Share that was cut"] == (("1", "0.5"), ("3", "1"))
    assert rows["Size of gradients"] == (("1", "2"), ("3", "3"))
    assert rows["Cohort"] == (("1", "10"), ("2", "0"), ("3", "8"))
    assert listen.read_curves([], None) == []
