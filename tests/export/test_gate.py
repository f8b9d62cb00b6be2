import base64
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechpriv.errors import GateError
from speechpriv.export import card, gate

WEIGHTS = {"model.safetensors": "5f" * 32}
PASS = {
    "verdict": "PASS",
    "reasons": ["nothing found"],
    "claimed_epsilon": 7.5,
    "weights": {"private": WEIGHTS},
}
SENTENCE = "Please remind Wilhelmina about the dentist"


def _decide(claim, **changes) -> gate.Decision:
    evidence = {
        "claim": claim,
        "verdict": PASS,
        "weights": WEIGHTS,
        "planned_epsilon": 8.0,
        "budget_epsilon": 9.0,
        "parity": 1.0,
        "min_parity": 0.99,
        "leaks": (),
        "override_reason": None,
    }
    return gate.decide_release(**{**evidence, **changes})


def test_good_evidence_is_let_through(claim):
    assert _decide(claim) == gate.Decision(allowed=True, reasons=(), override=None)
    assert _decide(claim, override_reason="not needed at all").override is None
    again = {**PASS, "earlier_verdicts": ["PASS", "INCONCLUSIVE"]}
    assert _decide(claim, verdict=again).allowed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": None}, "verdict is missing"),
        ({"verdict": {**PASS, "verdict": "FAIL"}}, "verdict is FAIL"),
        ({"verdict": {**PASS, "verdict": "INCONCLUSIVE"}}, "verdict is INCONCLUSIVE"),
        ({"verdict": {**PASS, "earlier_verdicts": ["INCONCLUSIVE", "FAIL"]}}, "earlier audit of the same canaries"),
        ({"verdict": {**PASS, "claimed_epsilon": 3.0}}, "another claim"),
        ({"weights": {"model.safetensors": "60" * 32}}, "about other weights than those that are"),
        ({"verdict": {**PASS, "weights": {}}}, "about other weights than those that are to leave"),
        ({"claim": None}, "no privacy claim"),
        ({"planned_epsilon": 7.4}, "epsilon is 7.5; expected at most 7.4"),
        ({"planned_epsilon": float("nan")}, "epsilon is 7.5"),
        ({"budget_epsilon": 8.9}, "together have epsilon 9; expected at most 8.9, the budget"),
        ({"budget_epsilon": None}, "together have epsilon 9; expected at most 8, privacy.epsilon. privacy.budget_eps"),
        ({"parity": 0.98}, "2.0% of the test utterances"),
        ({"parity": float("nan")}, "other words than torch"),
    ],
)
def test_each_fault_refuses_and_can_be_overridden_with_a_reason(claim, changes, said):
    refused = _decide(**{"claim": claim, **changes})
    assert not refused.allowed
    assert any(said in reason for reason in refused.reasons)
    overridden = _decide(**{"claim": claim, **changes, "override_reason": "for a demonstration"})
    assert overridden == gate.Decision(allowed=True, reasons=refused.reasons, override="for a demonstration")


def test_every_reason_is_given(claim):
    assert len(_decide(claim, verdict=None, planned_epsilon=1.0, parity=0.0, leaks=["a: key"]).reasons) == 4


def test_a_leak_cannot_be_overridden(claim):
    assert not _decide(claim, leaks=["README.md: transcript"], override_reason="for a demonstration").allowed


@pytest.mark.parametrize(
    "written",
    [
        SENTENCE,
        SENTENCE.upper(),
        "...please, remind\n\tWilhelmina - about the DENTIST!",
        json.dumps({"x": SENTENCE.split()}),
        f"\x00\xff{SENTENCE}\x00",
    ],
)
@pytest.mark.parametrize("name", ["card.md", "deep/er/weights.bin"])
def test_a_transcript_is_found_however_it_is_written(tmp_path, written, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"before " + written.encode("latin-1") + b" after")
    assert gate.scan_files(tmp_path, phrases={"transcript": [SENTENCE]}, literals={}) == [f"{name}: transcript"]


@pytest.mark.parametrize(
    "written", ["please remind wilhelmina about", "remind wilhelmina about the dentist", "please remind her about the"]
)
def test_other_words_are_not_found(tmp_path, written):
    (tmp_path / "card.md").write_text(written)
    assert gate.scan_files(tmp_path, phrases={"transcript": [SENTENCE]}, literals={}) == []


def test_short_and_public_phrases_are_left_out(tmp_path):
    (tmp_path / "README.md").write_text(f"turn it on. a b c d e. {card.FIXED_TEXT}")
    public = "What is not covered? People"
    phrases = {"transcript": ["turn it on", "a b c d e", "how well it hears the verdict is"]}
    assert gate.scan_files(tmp_path, phrases={"transcript": ["how well it hears"]}, literals={}) == [
        "README.md: transcript"
    ]
    assert gate.scan_files(tmp_path, phrases=phrases, literals={}, public=card.FIXED_TEXT + public) == []


def test_the_users_terms_are_found_but_one_word_not_in_a_vocabulary_or_the_report(tmp_path):
    for name in ("hotwords.txt", "bundle/tokens.txt", "bundle/tokenizer.json", "report.html"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('ask "Wilhelmina", or (Aurora project). lamp')
    terms = {"term": ["wilhelmina", "aurora project", "lamp", "wilhelm"]}
    found = gate.scan_files(tmp_path, phrases=terms, literals={})
    # The second has two words, which no vocabulary has in a row.
    assert found == [
        f"{name}: term"
        for name in sorted(["hotwords.txt", "bundle/tokens.txt", "bundle/tokenizer.json", "report.html"])
    ]
    alone = gate.scan_files(tmp_path, phrases={"term": ["wilhelmina", "lamp", "wilhelm"]}, literals={})
    assert alone == ["hotwords.txt: term"]
    assert gate.scan_files(tmp_path, phrases={"term": ["lamp", "wilhelm"]}, literals={}) == []
    assert gate.scan_files(tmp_path, phrases=terms, literals={}, public="Wilhelmina and the Aurora project") == []


def test_a_phrase_that_only_begins_like_public_text_is_found(tmp_path):
    (tmp_path / "README.md").write_text("how well it hears old Wilhelmina")
    phrases = {"transcript": ["how well it hears old wilhelmina"]}
    found = gate.scan_files(tmp_path, phrases=phrases, literals={}, public="How well it hears")
    assert found == ["README.md: transcript"]


def test_keys_and_paths_are_found_in_every_form(tmp_path):
    key = bytes(range(100, 132))
    (tmp_path / "raw").write_bytes(b"\x00" + key + b"\x00")
    (tmp_path / "hex").write_text(f"0x{key.hex().upper()}")
    (tmp_path / "base64").write_text(base64.b64encode(key).decode())
    (tmp_path / "trace").write_text('File "/Data/Voices/run-1/private/train/x.py"')
    (tmp_path / "clean").write_bytes(bytes(range(100, 131)))
    found = gate.scan_files(tmp_path, phrases={}, literals={"key": [key], "path": ["/data/voices/run-1/private"]})
    assert found == ["base64: key", "hex: key", "raw: key", "trace: path"]


def test_a_file_name_can_leak(tmp_path):
    (tmp_path / f"{SENTENCE.replace(' ', '-')}.wav").write_bytes(b"")
    (found,) = gate.scan_files(tmp_path, phrases={"transcript": [SENTENCE]}, literals={})
    assert found.endswith(": transcript")


def test_a_secret_across_blocks_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(gate, "_OVERLAP_BYTES", 50)
    for before in range(40, 70):
        (tmp_path / f"{before}.bin").write_bytes(b"\x00" * before + SENTENCE.encode() + b"\x00" * 100)
    assert len(gate.scan_files(tmp_path, phrases={"transcript": [SENTENCE]}, literals={})) == 30


@given(data=st.data())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_search_agrees_with_a_naive_one(tmp_path, data):
    words = st.sampled_from(["alpha", "beta", "gamma", "delta's"])
    said = data.draw(st.lists(words, max_size=30))
    phrases = [" ".join(p) for p in data.draw(st.lists(st.lists(words, min_size=4, max_size=6), max_size=5))]
    (tmp_path / "file").write_text(" ".join(said))
    naive = any(f" {phrase} " in f" {' '.join(said)} " for phrase in phrases)
    assert (gate.scan_files(tmp_path, phrases={"transcript": phrases}, literals={}) == ["file: transcript"]) == naive


def test_many_phrases_and_a_big_random_file_are_searched_quickly_and_without_chance_hits(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "weights.bin").write_bytes(rng.bytes(2**21))
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    phrases = [" ".join("".join(rng.choice(letters, 3)) for _ in range(4)) for _ in range(3000)]
    # 100,000 phrases and 11 MB take 3 s; a search for one phrase after the other would take minutes.
    assert gate.scan_files(tmp_path, phrases={"transcript": phrases * 10}, literals={}) == []


def test_a_release_with_a_transcript_or_a_path_is_refused_without_repeating_it(tmp_path, recordings):
    text = next(row.text for row in recordings.rows("train") if len(row.text.split()) >= 4)
    release = tmp_path / "release"
    release.mkdir()
    (release / "report.html").write_text("<p>nothing</p>")
    gate.check_release(release, recordings)
    (release / "report.html").write_text(f"<p>{text}</p> made in {tmp_path}/private")
    with pytest.raises(GateError) as caught:
        gate.check_release(release, recordings)
    assert "report.html: transcript" in str(caught.value)
    assert "report.html: place" in str(caught.value)
    assert text not in str(caught.value)
