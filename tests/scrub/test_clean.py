import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.corpus import Row
from speechpriv.data import voices
from speechpriv.errors import DataError
from speechpriv.models import align, asr
from speechpriv.scrub import clean, detect, redact
from speechpriv.sections import ScrubConfig

KEY = b"k" * 32
SECRET = "555 123 4567"
TEXTS = {
    "plain": "turn on the lights",
    "name": "my name is anna smith and i like music",
    "spoken": "my number is five five five one two three four five six seven",
    "email": "send it to anna dot smith at example dot com now",
    "only": SECRET,
    "script": "\u0434\u0430",
    "quick": f"call {SECRET} now",
    "short": "turn off all of the lights in the living room and in the kitchen",
}
CHANGED, FADE = ("name", "spoken", "email"), 80
MARGIN = 640  # half an output frame
SHORT = ("short", "quick")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise with words attached; the recogniser knows nothing anyway."""
    rng = np.random.default_rng(0)

    def rows():
        for name, text in TEXTS.items():
            samples = rng.normal(0, 0.1, 8000 if name in SHORT else 96_000).clip(-1, 1).astype(np.float32)
            split = "test" if name == "email" else "train"
            yield Row(f"id-{name}", f"unit-{name}", split, audio.encode_flac(samples), text, len(samples) / 16_000)

    return corpora.write(rows(), tmp_path_factory.mktemp("raw"), lineage="synthetic")


@pytest.fixture(scope="module")
def source(corpus, tmp_path_factory):
    directory = tmp_path_factory.mktemp("source")
    corpora.write(corpus.rows(), directory, lineage="synthetic")
    return directory


@pytest.fixture
def scrub(base, source, tmp_path):
    """Run the stage; the random recogniser is sure of nothing, so every alignment is trusted unless asked."""

    def run(min_word_confidence=0.0, corpus=source, redaction="silence", **settings):
        scrub = ScrubConfig(
            min_word_confidence=min_word_confidence, aligner=str(base), redaction=redaction, **settings
        )  # fmt: skip
        stage = clean.run(clean.CleanConfig(scrub=scrub), {"corpus": corpus}, tmp_path / "scrub", key=KEY)
        return stage, {row.id.removeprefix("id-"): row for row in corpora.read(stage.directory).rows()}

    return run


def rows_of(corpus):
    return {row.id.removeprefix("id-"): row for row in corpus.rows()}


def test_rows_without_findings_are_the_same_bytes(scrub, corpus):
    _, rows = scrub()
    assert rows["plain"] == rows_of(corpus)["plain"]


def test_findings_are_gone_from_the_text_and_exactly_zero_in_the_audio(scrub, corpus, recogniser):
    _, rows = scrub()
    for name in CHANGED:
        before, after = rows_of(corpus)[name], rows[name]
        findings = detect.find(before.text)
        assert findings
        assert after.text == detect.mask(before.text, findings)
        assert (after.unit, after.split, after.seconds) == (before.unit, before.split, before.seconds)
        original, cut = before.samples(), after.samples()
        words = align.align_words(recogniser, original, before.text)
        near = np.zeros(len(original), bool)
        for first, last, _ in detect.word_indices(before.text, findings):
            start, end = max(0, words[first].earliest - MARGIN), words[last - 1].end + MARGIN
            assert not cut[start:end].any()
            near[max(0, start - FADE) : end + FADE] = True
        assert original[near].any()
        assert np.array_equal(cut[~near], original[~near])
        assert (~near).any()


def test_no_secret_is_left_in_what_is_trained_on(scrub):
    stage, rows = scrub()
    kept = " ".join(row.text for row in rows.values())
    for word in (SECRET, "seven", "anna", "smith", "example"):
        assert word not in kept
    assert SECRET in " ".join(TEXTS.values())
    assert stage.counts["utterances_changed"] == len(CHANGED)


def test_what_cannot_be_scrubbed_or_learned_is_dropped_and_counted(scrub):
    stage, rows = scrub()
    assert set(rows) == {"plain", *CHANGED}
    assert stage.counts["dropped"]["nothing_left"] == 2  # the number alone, and words that cannot be spelled
    assert stage.counts["dropped"]["not_alignable"] == 2  # more words than frames, and ten digits in half a second
    assert "low_confidence" not in stage.counts["dropped"]
    assert stage.counts["rows"] == 4


def test_low_confidence_drops_rows_with_findings_only(scrub):
    stage, rows = scrub(min_word_confidence=1.0)
    assert set(rows) == {"plain"}
    assert stage.counts["dropped"]["low_confidence"] == len(CHANGED)
    assert stage.counts["utterances_changed"] == 0


@pytest.mark.parametrize("place", [0, -1])
def test_a_confidence_that_is_no_number_drops_the_row(scrub, monkeypatch, place):
    real = align.align_words

    def unsure(*arguments):
        words = real(*arguments)
        words[place] = replace(words[place], confidence=math.nan)
        return words

    monkeypatch.setattr(align, "align_words", unsure)
    stage, rows = scrub()
    assert set(rows) == {"plain"}
    assert stage.counts["dropped"]["low_confidence"] == len(CHANGED)


def test_evidence_says_which_words_but_not_what_they_are(scrub):
    stage, _ = scrub()
    content = (stage.directory / "scrub.jsonl").read_text()
    lines = {line["id"]: line for line in map(json.loads, content.splitlines())}
    assert set(lines) == {f"id-{name}" for name in TEXTS if name != "plain"}
    assert lines["id-name"]["words"] == [[3, 5, "NAME"]]
    assert lines["id-name"]["outcome"] == "changed"
    assert lines["id-only"]["outcome"] == "nothing_left"
    assert lines["id-short"]["outcome"] == lines["id-quick"]["outcome"] == "not_alignable"
    for line in lines.values():
        assert set(line) <= {"id", "outcome", "words", "rules", "spans", "confidence"}
        assert ("spans" in line) == (line["outcome"] == "changed")
        assert all(isinstance(a, int) and isinstance(b, int) and kind.isupper() for a, b, kind in line["words"])
        assert len(line["rules"]) == len(line["words"])
    spoken = {word for text in TEXTS.values() for word in text.split()} - {"name"}  # which is a kind too
    assert not spoken & set(re.findall(r"\w+", content.lower()))
    assert not spoken & set(re.findall(r"\w+", json.dumps(stage.counts).lower()))


def test_the_users_own_terms_are_removed_and_kept(scrub):
    _, rows = scrub(terms=("the lights",), keep=("anna",), patterns={"HOBBY": "music"})
    assert rows["plain"].text == "turn on [TERM]"
    assert rows["name"].text == "my name is anna [NAME] and i like [HOBBY]"


def test_without_a_mark_the_words_are_simply_gone(scrub):
    _, rows = scrub(mark="remove")
    assert rows["name"].text == "my name is and i like music"


def test_beeps_are_heard_where_words_were(scrub, corpus):
    _, rows = scrub(redaction="beep")
    before, after = rows_of(corpus)["name"], rows["name"]
    assert len(after.samples()) == len(before.samples())
    assert after.text == "my name is [NAME] and i like music"
    silent = np.flatnonzero(scrub()[1]["name"].samples() == 0)
    tone = np.abs(np.fft.rfft(after.samples()[silent]))
    assert np.fft.rfftfreq(len(silent), 1 / 16_000)[tone.argmax()] == pytest.approx(1000, abs=20)


def test_what_is_cut_leaves_a_gap_of_one_length_whatever_was_said(scrub, corpus):
    stage, rows = scrub(redaction="cut")
    lines = {line["id"]: line for line in map(json.loads, (stage.directory / "scrub.jsonl").read_text().splitlines())}
    for name in CHANGED:
        before, after = rows_of(corpus)[name], rows[name]
        total = len(before.samples())
        removed = sum(min(end, total) - max(start, 0) for start, end in lines[f"id-{name}"]["spans"])
        gaps = len(lines[f"id-{name}"]["spans"]) * round(redact.GAP_S * 16_000)
        assert len(after.samples()) == total - removed + gaps
        assert after.seconds == pytest.approx(len(after.samples()) / 16_000)


def test_values_are_replaced_by_synthetic_ones_in_text_and_sound_alike(scrub, corpus):
    stage, rows = scrub(redaction="replace")
    lines = {line["id"]: line for line in map(json.loads, (stage.directory / "scrub.jsonl").read_text().splitlines())}
    for name in CHANGED:
        text, said = rows[name].text, TEXTS[name].split()
        ((first, last),) = lines[f"id-{name}"]["synthetic"]
        ((_, end, _),) = lines[f"id-{name}"]["words"]
        words = text.split()
        assert words[:first] == said[:first]
        assert words[last:] == said[end:]
        assert asr.normalise(text) == text  # a recogniser can learn all of it
        assert words[first:last] != said[first:end]
        assert rows[name].seconds == pytest.approx(len(rows[name].samples()) / 16_000)
    assert "[" not in " ".join(row.text for row in rows.values())


def test_replacements_depend_on_key_and_row_alone(corpus, base, tmp_path):
    scrub = ScrubConfig(min_word_confidence=0.0, aligner=str(base), redaction="replace")

    def texts(name, key, *, backwards=False):
        rows = list(corpus.rows())
        corpora.write(rows[::-1] if backwards else rows, tmp_path / name, lineage="synthetic")
        done = clean.run(clean.CleanConfig(scrub=scrub), {"corpus": tmp_path / name}, tmp_path / f"{name}-out", key=key)
        return {row.id: row.text for row in corpora.read(done.directory).rows()}

    assert texts("a", KEY) == texts("b", KEY, backwards=True)
    assert texts("a", KEY) != texts("c", bytes(32))


def test_if_nothing_is_left_at_all_it_says_so(scrub, corpus, tmp_path):
    only = (row for row in corpus.rows() if row.id == "id-only")
    corpora.write(only, tmp_path / "only", lineage="synthetic")
    with pytest.raises(DataError, match="no row is left"):
        scrub(corpus=tmp_path / "only")


PERSONAL = (
    "my name is anna smith and i like music", "call maria on the kitchen speaker", "tell peter dinner is at seven",
    "my number is two oh six five five five oh one four two", "call five five five oh one four two please",
    "my email is anna dot smith at example dot com", "i live at twelve larch street", "text john that i am late",
)  # fmt: skip


def uncut_ms(row, spoken, cleaned):
    """How much of each finding, by the synthesiser's word times, is still heard."""
    for first, last, _ in detect.word_indices(row.text, detect.find(row.text)):
        yield int(np.count_nonzero(cleaned[spoken[first].start : spoken[last - 1].end])) / 16


@pytest.mark.usefixtures("tiny_en")
def test_the_words_that_are_cut_are_the_words_that_were_found(tmp_path):
    rng = np.random.default_rng(3)
    speeches = {
        f"{number}-{again}": (said, voices.speak(said, voices.random_voice(rng)))
        for number, said in enumerate(PERSONAL)
        for again in range(3)
    }

    def rows():
        for name, (said, speech) in speeches.items():
            samples = speech.samples + 1e-3 * rng.standard_normal(len(speech.samples), dtype=np.float32)
            yield Row(name, name, "train", audio.encode_flac(samples), said, len(samples) / 16_000)

    corpora.write(rows(), tmp_path / "raw", lineage="synthetic")
    raw = {row.id: row for row in corpora.read(tmp_path / "raw").rows()}
    config = clean.CleanConfig(scrub=ScrubConfig(min_word_confidence=0.0, redaction="silence"))
    clean.run(config, {"corpus": tmp_path / "raw"}, tmp_path / "out", key=KEY)
    left = [
        each
        for row in corpora.read(tmp_path / "out").rows()
        for each in uncut_ms(raw[row.id], speeches[row.id][1].words, row.samples())
    ]
    whole = [each for row in raw.values() for each in uncut_ms(row, speeches[row.id][1].words, row.samples())]
    assert len(left) == len(whole)
    assert min(whole) > 150  # negative control: before the cut
    assert sum(left) <= 0.01 * sum(whole)
    assert max(left) < 80  # not a syllable
    assert np.median(left) == 0
