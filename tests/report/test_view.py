import shlex
import subprocess
import sys

import pytest

from speechpriv.claim import Claim, GroupPrivacy, UtteranceLevel
from speechpriv.report import view
from speechpriv.report.facts import Facts
from speechpriv.report.page import render_page
from speechpriv.train import accounting


def test_the_command_for_epsilon_holds_the_claims_parameters(synthetic):
    command = dict(view.build_view(synthetic())["commands"])["Epsilon, from the parameters alone"]
    python, option, code = shlex.split(command)
    assert (python, option) == ("python", "-c")
    compile(code, "command", "exec")
    assert "epsilon_of([build_event(0.4, 2.871, 300)], 1e-05)" in code
    assert "records" not in code
    changed = {"sampling": "utterances", "event": '{"mechanism": "made up", "records": 8}'}
    drawn = view.build_view(synthetic(claim=Claim(**synthetic().claim.model_dump() | changed)))
    assert "event(0.4, 2.871, 300, records=8)], 1e-05)" in dict(drawn["commands"])["Epsilon, from the parameters alone"]


def test_the_command_for_epsilon_computes_what_a_claim_with_phrases_says(synthetic):
    """Run as it stands: both events are in it."""
    before, after = accounting.build_event(1.0, 1.3, 1, slip=2e-6), accounting.build_event(0.4, 2.871, 300)
    epsilon = accounting.epsilon_of([before, after], 1e-5)
    changed = {
        "event": accounting.event_to_json(after), "phrases": accounting.event_to_json(before), "epsilon": epsilon,
        "composed_epsilon": epsilon,
    }  # fmt: skip
    shown = view.build_view(synthetic(claim=Claim(**synthetic().claim.model_dump() | changed)))
    code = shlex.split(dict(shown["commands"])["Epsilon, from the parameters alone"])[2]
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(printed) == pytest.approx(epsilon)
    assert any("thresholding delta 2e-" in value for _, value in shown["claim_rows"])


def test_commands_quote_the_name_of_the_run():
    facts = Facts("it's; rm -r *", figures={"private": {}}, verdict={"verdict": "PASS"}, bundle={"files": {}})
    for _, command in view.build_view(facts)["commands"]:
        tokens = shlex.split(command)
        assert any("it's; rm " in token for token in tokens)
        assert not {"it's;", ";", "*"} & set(tokens)


def test_commands_are_for_what_has_run(synthetic):
    assert [what for what, _ in view.build_view(Facts("empty"))["commands"]] == [
        "The whole run, with the same overrides if it had any; what is done is skipped",
        "This page",
    ]
    assert len(view.build_view(synthetic())["commands"]) == 12


def test_settings_name_no_path(synthetic):
    settings = view.build_view(synthetic())["settings"]
    assert "somebody" not in settings
    assert '"base": "tiny-en"' in settings
    assert "threads" not in settings


def test_a_file_that_is_listed_but_missing_is_said_to_be(synthetic):
    files = view.build_view(synthetic(sizes_bytes={"tokens.txt": 5}))["files"]
    assert {name: size for name, size, _ in files} == {
        "model.onnx": "missing", "model.int8.onnx": "missing", "tokens.txt": "5 B", "model.safetensors": "missing",
        "README.md": "missing",
    }  # fmt: skip


def test_the_least_that_would_have_been_seen_is_said(synthetic):
    assert view.build_view(synthetic())["least"] == ["0.913", "more than there can be", "3"]
    assert set(view.build_view(synthetic(verdict={}))["least"]) == {"not measured"}


def test_the_audits_table_has_both_verdicts(synthetic):
    assert view.build_view(synthetic())["audit_rows"][-1] == ("verdict", "PASS", "FAIL")


def test_audio_that_is_not_base64_is_left_out(synthetic):
    sounds = [{"moment": "x", "text": "x", "flac_base64": flac} for flac in ("AAAA", 'AAAA" onload="x')]
    assert view.build_view(synthetic(samples=[{"title": "x", "versions": sounds}]))["samples"] == []
    assert len(view.build_view(synthetic(samples=[{"title": "x", "versions": sounds[:1]}]))["samples"]) == 1


def test_what_an_epsilon_per_utterance_hides_is_shown_beside_the_claim(synthetic):
    hidden = [UtteranceLevel(utterances=1, epsilon=7.9), UtteranceLevel(utterances=100, epsilon=11_623.7)]
    page = render_page(synthetic(claim=synthetic().claim.model_copy(update={"utterance_level": tuple(hidden)})))
    assert "What an epsilon per utterance would have hidden" in page
    for part in ("7.9</td>", "11,62"):
        assert part in page
    assert "What an epsilon per utterance" not in render_page(synthetic())


def test_what_several_units_have_is_said_below_the_claims_numbers(synthetic):
    few = [GroupPrivacy(size=5, epsilon=64.51, delta=0.3854, published=0.3853)]
    page = render_page(synthetic(claim=synthetic().claim.model_copy(update={"groups": tuple(few)})))
    assert "Several speakers that are added or removed together: 5: epsilon 64.6, delta 0.39." in page
    assert "added or removed together" not in render_page(synthetic())
