import pytest

from speechpriv.claim import OtherRelease
from speechpriv.report import pictures
from speechpriv.report.facts import Facts


def test_the_dots_round_up_as_the_sentence_does(synthetic):
    for share, dots in ((0.0, 0), (0.243, 25), (0.25, 25), (0.2501, 26), (1.0, 100)):
        claim = synthetic().claim.model_copy(update={"max_tpr_at_1_percent_fpr": share})
        assert pictures.draw_members(synthetic(claim=claim)).rows[0] == ("filled dots", str(dots))
        assert not share or f"at most {dots} of 100" in claim.sentence()


def test_a_tally_counts_kinds_and_forgets_the_particulars():
    plot = pictures.draw_tally("x", "X", {"too_long: 31 s": 2, "too_long: 99 s": 3, "silent": 4, "odd": "many"}, "base")
    assert plot.rows == (("too long", "5"), ("silent", "4"), ("odd", "0"))
    assert pictures.draw_tally("x", "X", {}, "base") is None
    assert pictures.draw_tally("x", "X", "nonsense", "base") is None


def test_what_scrubbing_dropped_stands_beside_what_was_quarantined(synthetic):
    rows = dict(pictures.set_aside(synthetic()).rows)
    assert rows["personal words not found in the sound"] == "22"
    assert rows["silent"] == "21"
    assert "text does not fit the sound" not in rows  # none was


def test_the_ledger_shows_each_run_the_sum_and_the_budget(synthetic):
    assert pictures.draw_ledger(synthetic()).rows == (
        ("This run", "7.9"), ("Run 0a1b2c3d", "2"), ("All runs together", "8.6"), ("Left of the budget of 10", "1.4"),
    )  # fmt: skip
    many = tuple(OtherRelease(run_id=f"corpus-{i}", epsilon=1.0) for i in range(100))
    claim = synthetic().claim.model_copy(update={"other_releases": many})
    rows = pictures.draw_ledger(synthetic(claim=claim, budget={})).rows
    assert len(rows) == 1 + 12 + 2
    assert ("More runs", "88, not drawn") in rows


def test_exposures_share_an_axis_and_keep_apart_what_was_not_planted(synthetic):
    (_, private), (_, baseline) = pictures.draw_exposures(synthetic())
    assert [row[0] for row in private.rows] == ["never", "1 ×", "2 ×", "4 ×", "8 ×", "16 ×"]
    assert sum(int(row[1]) for row in baseline.rows) == 60
    assert private.svg.count('class="grid"') == baseline.svg.count('class="grid"')
    assert float(baseline.rows[-1][2]) > 5 > float(private.rows[-1][2])


def test_bounds_say_claimed_only_if_something_is(synthetic):
    assert pictures.draw_bounds(synthetic()).rows[-1] == ("claimed", "7.9")
    assert len(pictures.draw_bounds(synthetic(verdict={**synthetic().verdict, "claimed_epsilon": None})).rows) == 2


@pytest.mark.parametrize("draw", [
    pictures.draw_members, pictures.draw_accuracy, pictures.draw_flow, pictures.draw_people, pictures.set_aside,
    pictures.draw_spent, pictures.draw_ledger, pictures.draw_durations, pictures.draw_phrases,
    pictures.draw_rehearsal, pictures.told_apart, pictures.draw_formats,
    pictures.public_errors,
])  # fmt: skip
def test_nothing_is_drawn_of_nothing(draw):
    assert draw(Facts("empty")) is None


def test_from_source_to_training_every_recording_is_accounted_for(synthetic):
    plot = pictures.draw_flow(synthetic())
    changes = [int(text.replace("− ", "-").replace("+ ", "").replace(",", "")) for _, text in plot.rows]
    assert changes[0] + sum(changes[1:-1]) == changes[-1] == 2680
    assert [label for label, _ in plot.rows][1:3] == ["Set aside: not usable", "Synthetic personal phrases, as a test"]


def test_what_an_older_run_does_not_state_is_shown_as_not_accounted_for(synthetic):
    stages = dict(synthetic().stages)
    stages["plant"] = {"counts": {"rows": 3309}}
    rows = dict(pictures.draw_flow(synthetic(stages=stages)).rows)
    assert rows["Not accounted for: plant"] == "+ 189"
    del stages["baseline"], stages["train"]
    assert "Trained on" not in dict(pictures.draw_flow(synthetic(stages=stages)).rows)


def test_long_phrases_are_not_shown_since_they_might_be_whole_sentences(synthetic):
    published = [["turn", "on", "the", "light", 99.0], ["turn", "on", "the", 50.0], ["<s>", "stop", "</s>", 60.0]]
    assert pictures.draw_phrases(synthetic(phrases=published)).rows == (
        ("stop, at the beginning, at the end", "60"), ("turn on the", "50")
    )  # fmt: skip
    assert pictures.draw_phrases(synthetic(phrases=published[:1])) is None


def test_members_told_apart_have_intervals_for_both_models(synthetic):
    plot = pictures.told_apart(synthetic())
    assert plot.rows[0] == ("private, with transcripts", "0.53 (0.47 to 0.59)")
    assert plot.rows[-1] == ("guessing", "0.5")
    assert plot.svg.count('class="interval') == 6
    assert pictures.told_apart(synthetic(verdict={"membership": {"not_measured": "5 members"}})) is None


def test_formats_that_are_not_shipped_are_not_drawn(synthetic):
    sizes = {"model.onnx": 7_340_032}
    assert pictures.draw_formats(synthetic(sizes_bytes=sizes)).rows == (
        ("model.onnx", "7.3 MB · 93.1 times real time"),
    )
