"""Markdown for a pull request, JSON for programs, several runs beside one another."""

import json
import math

import pytest

from speechpriv.report import page, summary, view
from speechpriv.report.facts import Facts


def lines(*runs):
    return {line.label: line for line in summary.compare_runs(runs)}


def test_the_markdown_says_verdict_claim_price_and_why(synthetic):
    facts = synthetic()
    text = summary.render_markdown(facts)
    assert text.startswith("### PASS: assistant-1a2b3c4d\n\nThe best possible attacker")
    for part in (
        facts.claim.sentence(), "costs 12.5 points of word accuracy", "- positive control: the baseline is caught",
        "| epsilon, delta | 7.9, 1e-5 |", "| word error rate, trained with privacy | 23.7 % |",
        "| members named at 1 % false alarms, at most | 25 % |",  # of .243, as the sentence says it
        "| units trained on | 153 |", "| bundle | 16.6 MB |",
    ):  # fmt: skip
        assert part in text, part


def test_no_text_of_a_run_breaks_the_table(synthetic):
    claim = synthetic().claim.model_copy(update={"unit": "speaker | patient\nof ours"})
    (row,) = [row for row in summary.render_markdown(synthetic(claim=claim)).splitlines() if "protected unit" in row]
    assert row == r"| protected unit | speaker \| patient of ours |"


def test_a_run_that_has_only_begun_promises_nothing():
    text = summary.render_markdown(Facts("empty"))
    assert text.startswith("### NOT AUDITED: empty\n\nNo privacy guarantee")
    assert "price is not known" in text


def test_the_json_has_the_figures_of_the_page(synthetic):
    found = json.loads(summary.to_json(synthetic()))
    assert found["verdict"] == "PASS"
    assert found["claim"]["epsilon"] == 7.9
    assert found["sentence"] == synthetic().claim.sentence()
    assert found["accuracy"]["private"]["wer"] == 0.237
    assert found["counts"]["ingest"]["rows_kept"] == 3142
    assert found["bundle"]["bytes"]["model.onnx"] == 7_340_032
    assert len(found["exposures"]["baseline"]) == 60
    assert found["phrases"] == {"turn, at the beginning": 93.4, "the lights": 88.1, "lights, at the end": 60.2}
    assert found["rehearsal"][-1] == [30, 0.7]
    assert found["public_wer_by_step"][0] == [0, 0.31]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_infinite_is_null_in_json_and_said_in_words(synthetic, value):
    audited = {**synthetic().verdict["private"], "epsilon_lower_bound": value}
    facts = synthetic(verdict={**synthetic().verdict, "private": audited})

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(summary.to_json(facts), parse_constant=refuse)["audit"]["private"]["epsilon_lower_bound"] is None
    assert lines(facts)["audit: epsilon, lower bound"].cells[0] not in ("null", "None", "-")


def test_lines_in_which_runs_differ_are_marked(synthetic):
    other = synthetic(
        name="other", claim=synthetic().claim.model_copy(update={"epsilon": 2.0}),
        verdict={**synthetic().verdict, "verdict": "FAIL"},
    )  # fmt: skip
    found = lines(synthetic(), other)
    assert found["verdict"].cells == ("PASS", "FAIL")
    assert {label for label, line in found.items() if line.differs} == {"verdict", "epsilon, delta"}


def test_a_figure_that_one_run_lacks_is_a_dash(synthetic):
    found = lines(synthetic(), Facts("empty"))
    assert found["protected unit"].cells == ("speaker", "-")
    assert found["protected unit"].differs
    assert not lines(Facts("empty"))["verdict"].differs


def test_settings_that_differ_are_named_in_full_and_paths_are_not(synthetic):
    config = synthetic().config
    other = synthetic(config={
        **config, "seed": 2, "privacy": {**config["privacy"], "epsilon": 2.0, "steps": 9},
        "data": {**config["data"], "path": "/elsewhere"}, "performance": {"threads": 7},
    })  # fmt: skip
    assert [(line.label, line.cells) for line in view.find_differing([synthetic(), other])] == [
        ("seed", ("1", "2")), ("privacy.epsilon", ("8.0", "2.0")), ("privacy.steps", ("-", "9")),
    ]  # fmt: skip
    assert view.find_differing([synthetic(), synthetic()]) == []


def test_the_page_of_several_runs_marks_what_differs(run_dir, tmp_path):
    other = tmp_path / "runs" / "assistant-ffffffff"
    (other / "private" / "audit").mkdir(parents=True)
    (other / "private" / "audit" / "verdict.json").write_text('{"verdict": "FAIL"}')
    path = page.write_comparison([run_dir, other], tmp_path / "comparison.html")
    html = path.read_text(encoding="utf-8")
    verdict = next(row for row in html.splitlines() if "<td>PASS</td><td>FAIL</td>" in row)
    assert 'class="differs"' in verdict
    assert "(differs)</span>" in verdict
    assert "/home/somebody" not in html
    same = page.write_comparison([run_dir, run_dir], path).read_text(encoding="utf-8")
    assert 'class="differs"' not in same
    assert "None, but perhaps" in same
