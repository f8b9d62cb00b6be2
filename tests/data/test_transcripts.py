"""Transcripts as people have them: the four of the shared cases that are about text, with other audio."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechpriv import corpus
from speechpriv.data import ingest, sources, transcripts
from speechpriv.data.ingest import IngestConfig
from speechpriv.errors import DataError
from speechpriv.models.spelling import normalise
from speechpriv.sections import DataConfig

KEY = bytes(range(32))
SENTENCE = "turn on the lights"
TAGGED = {
    "<COMMA> {} <PERIOD>": SENTENCE,
    "{} [laughter]": SENTENCE,
    "<unk> {}": None,
    "{} <SPOKEN_NOISE>": None,
    "(inaudible) {}": None,
    "{} {{uh}}": SENTENCE,
    "[NOISE] {}": SENTENCE,
    "{} %HESITATION": SENTENCE,
}
REDACTED = (
    "my name is <PERSON> call me at <PHONE_NUMBER>", "i live at <LOCATION>", "call [PERSON_1] now about it",
    "[**Name 12**] was seen", "this is [NAME] speaking",
)  # fmt: skip
DIGITS = {
    "set a timer for 25 minutes": "set a timer for twenty five minutes",
    "it is 7:30 am": "it is seven thirty a m",
    "turn it to 68%": "turn it to sixty eight percent",
    "channel 4": "channel four",
    "it costs $3.50": "it costs three dollars and fifty cents",
    "the 2nd of May": "the second of may",
}
APOSTROPHES = [f"i don{sign}t know {{}}" for sign in "´`ʼ′‘’"]


def ingested(tmp_path, texts):
    """Texts as written and as kept, where ten people say three things each, and the counts of the stage."""
    rng, folder, out = np.random.default_rng(0), tmp_path / "source", tmp_path / "ingest"
    folder.mkdir()
    written, rows = {}, []
    for number in range(30):
        samples = 0.1 * rng.standard_normal(48_000 + number).astype(np.float32)
        soundfile.write(folder / f"{number}.wav", samples, 16_000)
        written[48_000 + number] = text = texts[number % len(texts)].format(SENTENCE)
        rows.append({"file_name": f"{number}.wav", "text": text, "user": f"person {number // 3}"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = IngestConfig(data=DataConfig(path=str(folder), max_quarantined=1.0), seed=1)
    summary = ingest.run(config, sources.list_inputs(config.data), out, key=KEY)
    kept = {written[len(row.samples())]: row.text for row in corpus.read(summary.directory).rows()}
    return kept, summary.counts


def test_tags_are_no_words_and_speech_without_text_is_set_aside(tmp_path):
    kept, counts = ingested(tmp_path, list(TAGGED))
    wanted = {tag.format(SENTENCE): said for tag, said in TAGGED.items() if said}
    assert kept == wanted
    assert counts["quarantined"] == {"untranscribed": 12}
    assert counts["rows_read"] == 30


def test_what_others_redacted_is_set_aside_and_counted(tmp_path):
    kept, counts = ingested(tmp_path, [*REDACTED, "{}"])
    assert set(kept) == {SENTENCE}
    assert counts["quarantined"] == {"redacted": 25}


def test_digits_are_kept_for_the_scrubber_and_spelled_for_labels(tmp_path, recogniser):
    kept, counts = ingested(tmp_path, list(DIGITS))
    assert counts["quarantined"] == {}
    assert kept == {text: text for text in DIGITS}
    assert {text: normalise(text) for text in kept.values()} == DIGITS
    assert all(recogniser.encode(text) == recogniser.encode(said) != [] for text, said in DIGITS.items())


def test_every_apostrophe_is_one(tmp_path):
    kept, counts = ingested(tmp_path, APOSTROPHES)
    assert counts["rows_kept"] == 30
    assert set(kept.values()) == {f"i don't know {SENTENCE}"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "untranscribed") for text in (
            "[inaudible] yes", "yes (unintelligible)", "((maybe)) yes", "(( )) yes", "xxx yes", "[crosstalk] yes",
            "yes <FOREIGN>", "[speaking foreign language] yes", "[unintelligible 00:12] yes", "yes <OTHER>",
        )),
        *((text, "redacted") for text in (
            "i am [REDACTED] ok", "i am XXXX ok", "i am ___ ok", "i am **** ok", "on <DATE_TIME> ok", "hi {{name}} ok",
            "hi [Name-1] ok", "[CREDIT_DEBIT_NUMBER] ok", "f*** that", "[WARD_2] ok", "[Person Name] ok",
        )),
        *((text, "unknown tag") for text in ("[door slams] yes", "<v Fred> yes", "{lg:fr} yes", "yes %foo")),
        *((text, "unspellable") for text in ("say спасибо", "ok 😀", "press #", "<unk yes", "a | b")),
        *((text, "not text") for text in ("a\ufffdb", "\ud800")),
        *((text, "no words") for text in ("", " . ", "[noise]", "...", "\u200b", "♪")),
    ],
)  # fmt: skip
def test_a_row_is_set_aside_with_its_reason_and_none_of_its_words(text, reason):
    with pytest.raises(DataError, match=f"^{reason}: ") as caught:
        transcripts.clean_transcript(text)
    assert not {"спасибо", "Fred", "door", "yes"} & set(str(caught.value).split())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  Go\thome. ", "Go home."),
        ("Café at 7:30!", "Café at 7:30!"),
        ("rock &amp; roll, don&#39;t", "rock & roll, don't"),
        ("<i>well</i>", "well"),
        ("[Music] (laughs) so ++um++ [pause] yes", "so yes"),
        ("２１２–５５５", "212-555"),
        ("an\u200bna said", "anna said"),
        ("plan (b) or (c)", "plan (b) or (c)"),
        ("I <3 you, 5% of it, 50%of it", None),
    ],
)
def test_the_written_text_stays_but_for_tags_and_forms_of_unicode(text, kept):
    if kept is None:
        with pytest.raises(DataError, match="unspellable"):
            transcripts.clean_transcript(text)
    else:
        assert transcripts.clean_transcript(text) == kept


@given(st.text(alphabet=st.characters() | st.sampled_from("[]<>{}()%*_'xXaé🙂п1 ")))
def test_any_text_is_clean_or_has_a_reason(text):
    try:
        clean = transcripts.clean_transcript(text)
    except DataError:
        return
    assert transcripts.clean_transcript(clean) == clean == " ".join(clean.split())
    assert normalise(clean)
