"""Nothing in a release was computed from training people but what docs/guarantees.md lists."""

import dataclasses
import itertools
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from speechpriv import store
from speechpriv.audit import released
from speechpriv.config import ExportConfig
from speechpriv.export import bundle, card
from speechpriv.models import asr
from speechpriv.report import facts, page

TESTS = Path(__file__).parents[1]
figures = runpy.run_path(str(TESTS / "training_figures.py"))
synthetic = runpy.run_path(str(TESTS / "report" / "conftest.py"))
GUARANTEES = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")


class Run:
    """A whole run: private files with synthetic numbers, a real bundle of a small model, a real report."""

    def __init__(self, directory, base, corpus_dir, change):
        self.directory, self.corpus_dir = directory, corpus_dir
        self.private, self.release = directory / "private", directory / "release"
        asr.load(str(base)).save(self.private / "train" / "model")
        for name, content in _files(store.hash_weights(self.private / "train" / "model")).items():
            path = self.private / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(_changed(f"{name}:", content, change)))
        self.audit()

    def audit(self):
        """The end of the audit's stage."""
        verdict = store.read_json(self.private / "audit" / "verdict.json")
        store.write_json(self.private / "audit" / released.FILE, released.select_released(verdict))

    def export(self):
        """The bundle; whatever is not as it should be is none of this test's business."""
        config = bundle.BundleConfig(
            export=ExportConfig(override_reason="a test of what is in it"), epsilon=8.0, budget_epsilon=None
        )
        stages = {"model": "train", "audit": "audit", "figures": "evaluate"}
        inputs = {name: self.private / stage for name, stage in stages.items()} | {"corpus": self.corpus_dir}
        self.release.mkdir(exist_ok=True)
        bundle.run(config, inputs, self.release / "bundle")

    def found(self):
        return figures["found_in"](self.release, figures["of_training_people"](self.private))


def _files(weights):
    """What the stages leave in private/; fewer numbers than usual, so that each can be its own."""
    whole = synthetic["facts"]()
    verdict = json.loads(json.dumps(whole.verdict)) | {"weights": {"private": weights, "baseline": {}}}
    verdict["survival"]["strays"] = 1
    verdict["stress"]["baseline"] = {"auc": 0.9, "median_exposure_bits": 3.3}
    history = {"step": 0, "cohort": 61, "median_norm": 424.2424, "clipped": 60, "unusable": 0}
    return {
        "config.json": whole.config,
        "train/claim.json": whole.claim.model_dump(mode="json"),
        "train/public.json": {"epsilon_by_step": whole.epsilon_by_step, "wer_by_step": whole.wer_by_step,
                              "budget": whole.budget},
        "train/history.json": [history],
        "phrases/phrases.json": whole.phrases,
        "rehearse/curve.json": whole.rehearsal,
        "evaluate/figures.json": whole.figures,
        "audit/verdict.json": verdict,
        "audit/exposures.json": {name: found[:12] for name, found in whole.exposures.items()},
        "attackers/attackers.json": whole.voices,
        "exposure_comparison.json": whole.comparison,
        "disguise_comparison.json": whole.disguises[:1],
        **{f"{stage}/manifest.json": manifest for stage, manifest in whole.stages.items()},
    }  # fmt: skip


def _changed(place, value, change):
    """`value` with `change` done to every number in it that is of training people."""
    before = place if place.endswith(":") else f"{place}."
    if isinstance(value, dict):
        return {key: _changed(f"{before}{key}", item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(f"{before}{i}", item, change) for i, item in enumerate(value)]
    if isinstance(value, bool) or value is None or figures["is_released"](place):
        return value
    if isinstance(value, str):
        return re.sub(r"\b\d+\b", lambda _: str(change(1)), value)
    return change(value)


def unmistakable(taken):
    """A change that gives every number a value of its own, which in no spelling is one of `taken`."""
    counts = itertools.count(10_007, 13)
    shares = itertools.count(111)

    def change(value):
        while True:
            new = next(counts) if isinstance(value, int) else float(f"0.{next(shares)}37")
            if not figures["spellings"](new, 3) & taken:
                return new

    return change


@pytest.fixture(scope="module")
def plain(tmp_path_factory, base, corpus_dir):
    """A release in which all figures of training people are 0."""
    run = Run(tmp_path_factory.mktemp("plain") / "run-1", base, corpus_dir, type_of_zero)
    run.export()
    page.write_report(run.directory)
    return run


def type_of_zero(value):
    return type(value)(0)


@pytest.fixture
def make(plain, tmp_path, base, corpus_dir):
    """A run whose figures of training people are unmistakable."""
    files = (path for path in plain.release.rglob("*") if path.is_file())
    taken = set().union(*map(figures["tokens"], files))
    return lambda: Run(tmp_path / "run-1", base, corpus_dir, unmistakable(taken))


def test_no_number_of_training_people_is_in_a_release(make):
    run = make()
    run.export()
    page.write_report(run.directory)
    numbers = figures["of_training_people"](run.private)
    for place in (
        "ingest/manifest.json:counts.rows_kept", "ingest/manifest.json:duration_s", "attackers/attackers.json:people",
        "audit/verdict.json:baseline.auc", "audit/verdict.json:membership.private.with_labels.auc",
        "audit/verdict.json:survival.strays", "audit/verdict.json:published.units", "train/history.json:0.cohort",
        "evaluate/figures.json:baseline.wer", "audit/verdict.json:membership.private.notes.0",
    ):  # fmt: skip
        assert place in numbers, place
    assert len(numbers) > 150
    assert run.found() == []
    # The private edition has them, as the search spells them, and a release what is listed.
    lines = figures["found_in"](run.private, numbers)
    assert len({line.partition(": ")[2] for line in lines if "report.html" in line}) > 60
    assert {"0.523", "76.3%"} <= figures["tokens"](run.release / "report.html")


def _part(name, more):
    return lambda patch: patch.setitem(released._PARTS, name, (*released._PARTS[name], more))


def _whole(name):
    return lambda patch: patch.setattr(released, "_WHOLE", (*released._WHOLE, name))


def _count(stage, name):
    names = (*facts._RELEASED_COUNTS.get(stage, ()), name)
    return lambda patch: patch.setitem(facts._RELEASED_COUNTS, stage, names)


def _field(*names, **changed):
    """Parts of the facts; some the page alone would still keep back where it is for everybody."""
    right = facts.select_released

    def wrong(found):
        back = {name: getattr(found, name) for name in names}
        return dataclasses.replace(right(found), **back, **changed)

    return lambda patch: patch.setattr(facts, "select_released", wrong)


VERDICT = "audit/verdict.json:"
SABOTAGE = {  # where the number is that is found, and how it is put back
    VERDICT + "baseline.": _whole("baseline"),
    VERDICT + "membership.baseline.": _whole("membership"),
    VERDICT + "extraction.baseline.": _part("extraction", "baseline"),
    VERDICT + "stress.baseline.": _part("stress", "baseline"),
    VERDICT + "survival.strays": _part("survival", "strays"),
    VERDICT + "published.of_one_unit": _part("published", "of_one_unit"),
    VERDICT + "published.planted_seen": _part("published", "planted_seen"),
    VERDICT + "published.units": _part("published", "units"),
    VERDICT + "membership.private.": _field("verdict"),
    "audit/exposures.json:baseline.": _field("exposures"),
    "ingest/manifest.json:counts.rows_kept": _count("ingest", "rows_kept"),
    "ingest/manifest.json:counts.quarantined.": _count("ingest", "quarantined"),
    "ingest/manifest.json:counts.hours": _count("ingest", "hours"),
    "scrub/manifest.json:counts.findings.": _count("scrub", "findings"),
    "scrub/manifest.json:counts.dropped.": _count("scrub", "dropped"),
    "plant/manifest.json:counts.units": _count("plant", "units"),
    "baseline/manifest.json:counts.rows": _count("baseline", "rows"),
    "train/manifest.json:duration_s": _field("stages"),
    "evaluate/figures.json:baseline.": _field("figures"),
    "attackers/attackers.json:": _field("voices", is_release=False),
    "disguise_comparison.json:": _field("voices", "disguises", is_release=False),
    "exposure_comparison.json:": _field("comparison"),
}


@pytest.mark.parametrize("put_back", SABOTAGE)
def test_a_number_that_is_put_back_is_found(make, plain, monkeypatch, put_back):
    """In the report, of which the bundle's audit.json is a part."""
    run = make()
    shutil.copytree(plain.release / "bundle", run.release / "bundle")
    page.write_report(run.directory)
    assert run.found() == []
    SABOTAGE[put_back](monkeypatch)
    run.audit()
    page.write_report(run.directory)
    assert any(f": {put_back}" in line for line in run.found())


def test_a_number_that_is_put_back_into_the_bundle_is_found(make, monkeypatch):
    monkeypatch.setitem(released._PARTS, "membership", ("private",))
    monkeypatch.setattr(card, "_this", lambda _: "baseline")
    run = make()
    run.export()
    found = run.found()
    assert any("bundle/audit.json: audit/verdict.json:membership.private" in line for line in found)
    assert "bundle/README.md: evaluate/figures.json:baseline.wer" in found


SPELLED = ["7,919 rows", "7919", '"rows":7919,', "73.2 %", "73.2%", "0.732", "wer 0.73193."]


@pytest.mark.parametrize("text", SPELLED)
def test_the_search_knows_the_usual_spellings(tmp_path, text):
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "README.md").write_text(f"There are {text}")
    assert figures["found_in"](tmp_path, {"here": {7919, 0.73193}}) == ["card/README.md: here"]
    assert figures["found_in"](tmp_path, {"here": {7907, 0.74193}}) == []


def test_a_release_is_the_same_whatever_the_figures_of_training_people_are(plain, make):
    """Stronger than any search: no sum, share or rounding of them is in it either."""
    run = make()
    verdicts = [store.read_json(one.private / "audit" / "verdict.json") for one in (plain, run)]
    assert verdicts[0] != verdicts[1]
    assert released.select_released(verdicts[0]) == released.select_released(verdicts[1])
    shutil.copytree(plain.release / "bundle", run.release / "bundle")
    page.write_report(run.directory)
    for name in ("report.html", "report.md", "report.json"):
        assert (run.release / name).read_bytes() == (plain.release / name).read_bytes(), name
        assert (run.private / name).read_bytes() != (plain.private / name).read_bytes(), name


def test_every_field_of_a_release_is_in_the_table_of_what_covers_it(plain):
    table = GUARANTEES[GUARANTEES.index("## Every number in a release") :]
    table = table[: table.index("\n## ", 1)]
    for name in ("report.json", "bundle/audit.json", "bundle/manifest.json"):
        for key in store.read_json(plain.release / name):
            assert f"`{key}`" in table, f"{name}: {key}"
    for path in plain.release.rglob("*"):
        assert path.is_dir() or path.name in table, path.name
