"""Rows in, rows out: whatever a stage drops is shown, and the numbers add up."""

import itertools
import re

import pytest

from speechpriv.report import losses, page, pictures
from speechpriv.report.facts import STAGES, Facts

READ, PROBES, CANARIES, TEST = 2_425, 25, 64, 480
REASONS = {
    "ingest": {"silent": 14, "too long": 10},
    "personal": {},
    "scrub": {"low_confidence": 31, "not_alignable": 2, "nothing_left": 7},
    "anonymize": {"failed": 104, "too_slow": 6, "low_confidence": 3},
    "plant": {},
    "baseline": {"not_alignable": 5},
    "train": {"not_alignable": 5},
    "survival": {"lost": 2, "unscored": 1},
    "attackers": {"failed": 9, "nothing_to_say": 4},
}


def run_of(reasons):
    """A run whose stages drop so much; of the personal phrases one is lost to the scrubber, as it may be."""
    lost = {stage: sum(found.values()) for stage, found in reasons.items()}
    kept = READ - lost["ingest"]
    scrubbed = kept + PROBES - lost["scrub"]
    disguised = scrubbed - lost["anonymize"]
    planted = disguised - (PROBES - 1) + CANARIES
    counts = {
        "ingest": {"rows_read": READ, "rows_kept": kept, "quarantined": reasons["ingest"]},
        "personal": {"rows": kept + PROBES, "rows_added": PROBES},
        "scrub": {"rows": scrubbed},
        "anonymize": {"rows": disguised},
        "plant": {"rows": planted, "rows_removed": PROBES - 1, "rows_planted": CANARIES},
        "baseline": {"rows": planted - TEST - lost["baseline"], "rows_test": TEST},
        "train": {"rows": planted - TEST - lost["train"], "rows_test": TEST},
        "evaluate": {"utterances": TEST},
        "survival": {"planted": 31, "whole": 31 - lost["survival"]},
        "attackers": {"rows_in": 900, "rows": 900 - lost["attackers"]},
    }
    for stage, found in reasons.items():
        if stage != "ingest":
            counts[stage]["dropped"] = found
    return Facts("run", stages={stage: {"counts": counts[stage]} for stage in STAGES if stage in counts})


def rows_of(html):
    """The table of the page: stage, in, out, changes."""
    section = re.search(r'<section id="losses">(.*?)</section>', html, re.DOTALL)[1]
    cells = [re.sub(r"<[^>]+>", " ", row).split("  ") for row in re.findall(r"<tr>(.*?)</tr>", section)[1:]]
    return [[cell.strip() for cell in row if cell.strip()] for row in cells]


def whole(text):
    return int(text.replace(",", ""))


def net(changes):
    """What the words between in and out come to; those in brackets are parts of what was dropped."""
    total = 0
    for part in filter(None, re.sub(r" \(.*?\)", "", changes).split("; ")):
        count, told = whole(part.split()[0]), part.split(" ", 1)[1]
        total += count if told.endswith("added") else -count
    return total


@pytest.mark.parametrize("dropping", [*REASONS, "all", "none"])
def test_whatever_stage_drops_the_report_adds_up(dropping):
    reasons = {stage: found if dropping in (stage, "all") else {} for stage, found in REASONS.items()}
    facts = run_of(reasons)
    shown = rows_of(page.render_page(facts))
    assert [row[0].split()[0] for row in shown] == [
        "ingest", "personal", "scrub", "anonymize", "plant", "baseline", "train", "evaluate", "survival", "attackers",
    ]  # fmt: skip
    for stage, came, left, *changes in shown:
        told = " ".join(changes)
        assert whole(came) + net(told) == whole(left)
        for reason, count in reasons.get(stage.split()[0], {}).items():
            assert f"{count} {reason.replace('_', ' ')}" in told
        in_brackets = re.search(r"(\d+) dropped \((.*?)\)", told)
        if in_brackets:
            assert int(in_brackets[1]) == sum(map(int, re.findall(r"\d+", in_brackets[2])))
        assert "not accounted for" not in told
    for (_, _, left, *_), (stage, came, *_) in itertools.pairwise(shown[:6]):
        assert came == left, stage
    assert shown[6][1] == shown[5][1]  # both trainings are given what `plant` made


@pytest.mark.parametrize("dropping", ["anonymize", "all"])
def test_the_picture_hides_no_losses_and_the_reasons_list_them_all(dropping):
    reasons = {stage: found if dropping in (stage, "all") else {} for stage, found in REASONS.items()}
    facts = run_of(reasons)
    rows = dict(pictures.draw_flow(facts).rows)
    assert rows["The synthetic personal phrases again"] == "− 24"
    assert rows["Dropped: the voice could not be disguised"] == "− 113"
    assert not any("Not accounted for" in label for label in rows)
    listed = dict(pictures.set_aside(facts).rows)
    assert listed["the disguise failed"] == "104"
    assert listed["the disguise took too long"] == "6"
    on_the_way = sum(sum(reasons[stage].values()) for stage in ("ingest", "scrub", "anonymize", "baseline"))
    assert sum(map(int, listed.values())) == on_the_way
    assert "Every recording is accounted for" not in page.render_page(facts)


def test_what_no_stage_accounts_for_is_said():
    facts = run_of(REASONS)
    facts.stages["anonymize"]["counts"]["rows"] -= 7
    told = {one.stage: one.changes() for one in losses.list_steps(facts)}
    assert "7 missing, not accounted for" in told["anonymize"]
    assert "7 too many, not accounted for" in told["plant"]
    assert dict(pictures.draw_flow(facts).rows)["Not accounted for: anonymize"] == "− 7"


def test_the_same_is_told_at_the_end_of_a_run():
    said = losses.render_text(run_of(REASONS)).splitlines()
    assert said[0].split() == ["rows", "in", "out"]
    assert said[4].split()[:3] == ["anonymize", "2,386", "2,273"]
    assert "113 dropped (104 failed, 6 too slow, 3 low confidence)" in said[4]
    assert losses.render_text(Facts("empty")) == ""


def test_a_run_without_scrubbing_adds_up_too():
    facts = run_of({stage: {} for stage in REASONS})
    for stage in ("personal", "scrub", "attackers", "survival"):
        del facts.stages[stage]
    facts.stages["plant"]["counts"] |= {"rows_removed": 0}
    facts.stages["anonymize"]["counts"]["rows"] = READ
    facts.stages["plant"]["counts"]["rows"] = READ + CANARIES
    for stage in ("baseline", "train"):
        facts.stages[stage]["counts"]["rows"] = READ + CANARIES - TEST
    assert [one.stage for one in losses.list_steps(facts)] == [
        "ingest",
        "anonymize",
        "plant",
        "baseline",
        "train",
        "evaluate",
    ]
    assert not any(one.unexplained for one in losses.list_steps(facts))
