import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpriv.data import demo, synthetic_speech, text, voices
from speechpriv.models import align


def noise(samples):
    return np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)


def covers(words, samples):
    """Whether spans are in order, touch one another, and cover the recording."""
    edges = [0, *(word.end for word in words)]
    return (
        [word.start for word in words] == edges[:-1]
        and edges[-1] == samples
        and all(a <= b for a, b in itertools.pairwise(edges))
    )


@pytest.mark.parametrize("words", ["stop", "turn on the lights", "call ? now", "? now", "now -", "a - ; b ?"])
@pytest.mark.parametrize("samples", [16_000, 20_001, 40_000])
def test_words_cover_the_recording_in_order(recogniser, words, samples):
    found = align.align_words(recogniser, noise(samples), words)
    assert len(found) == len(words.split())
    assert covers(found, samples)
    assert all(0 <= word.confidence <= 1 for word in found)
    assert all(0 <= word.earliest <= word.start for word in found)


@pytest.mark.parametrize("words", ["", "  ", "407", "turn on the lights and open the door and stop"])
def test_what_does_not_fit_or_cannot_be_spelled_is_none(recogniser, words):
    assert align.align_words(recogniser, noise(6000), words) is None


def test_the_padding_of_the_features_is_no_place_for_a_word(recogniser):
    """The front end makes one frame more than is real: an alignment there would end behind the recording."""
    found = align.align_words(recogniser, noise(1280 * 5), "stop")
    assert covers(found, 1280 * 5)


def test_a_word_that_is_not_written_as_it_is_said_is_aligned_by_how_it_reads(recogniser, monkeypatch):
    """But it is cut by its neighbours' peaks alone: "0" may be said "oh"."""
    seen = []
    real = align._words
    monkeypatch.setattr(align, "_words", lambda *got: (seen.append(got), real(*got))[1])
    written = "on 22nd street, s\N{LATIN SMALL LETTER O WITH STROKE}ren's caf\u00e9 & don't [NAME]"
    said = ["on", "twenty second", "street", "soren's", "cafe", "and", "don't", ""]
    align.align_words(recogniser, noise(100_000), written)
    pieces, read = seen[0][:2]
    assert pieces == [recogniser.encode(words) for words in said]
    assert read == [False, True, False, False, False, True, False, True]


def test_written_numbers_are_found_where_they_are_said(tiny_en):
    """And so are the words around them, which other words of the number would draw away."""
    cases = [
        ("wake me at 7:30 tomorrow morning", ["wake", "me", "at", "seven thirty", "tomorrow", "morning"]),
        ("it costs $3.50 at the market", ["it", "costs", "three dollars and fifty cents", "at", "the", "market"]),
        ("my number is 555-0143 thanks", ["my", "number", "is", "five five five zero one four three", "thanks"]),
    ]
    rng, inside, late_ms = np.random.default_rng(1), [], []
    for number in range(18):
        written, words = cases[number % 3]
        samples, spoken = synthetic(rng, " ".join(words))
        found = align.align_words(tiny_en, samples, written)
        if found is None:
            continue
        assert covers(found, len(samples))
        ends = list(itertools.accumulate(len(part.split()) for part in words))
        at = next(index for index, part in enumerate(words) if part not in written)
        first, last = spoken[ends[at] - len(words[at].split())][0], spoken[ends[at] - 1][1]
        inside.append(found[at].earliest <= first + 640 and found[at].end >= last - 640)
        late_ms.append(abs(found[at + 1].end - spoken[ends[at + 1] - 1][1]) / 16)
    assert len(inside) >= 15
    assert np.mean(inside) >= 0.9
    assert np.median(late_ms) <= 60


# Peaks in frames, two a word, ascending; None for a word without pieces.
PEAKS = st.lists(st.none() | st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=8)


@given(PEAKS, st.floats(0, 5), st.floats(0, 1))
def test_boundaries_keep_every_peak_in_its_word(gaps, after, lean):
    at, peaks = 0.0, []
    for gap in gaps:
        if gap is None:
            peaks.append(None)
        else:
            peaks.append((at + gap[0], at + gap[0] + gap[1]))
            at = peaks[-1][1]
    edges = align._boundaries(peaks, at + after, lean)
    assert len(edges) == len(peaks) + 1
    assert (edges[0], edges[-1]) == (0, at + after)
    assert edges == sorted(edges)
    for peak, start, end in zip(peaks, edges, edges[1:], strict=False):
        if peak is not None:
            assert start <= peak[0] < peak[1] <= end


def test_a_word_without_pieces_takes_the_time_between_its_neighbours():
    assert align._boundaries([(1, 2), None, (8, 9)], 10, 0.8) == [0, 2, 8, 10]
    assert align._boundaries([(1, 2), None, None, (8, 9)], 10, 0.8) == [0, 2, 5, 8, 10]
    assert align._boundaries([None, (4, 5)], 10, 0.8) == [0, 4, 10]
    assert align._boundaries([(4, 5), None], 10, 0.8) == [0, 5, 10]


@pytest.mark.parametrize(
    ("word", "seconds", "fits"),
    [("555", 0.19, True), ("555", 0.17, False), ("555", 0, False), ("5,5-5", 0.19, True), ("22nd", 0.2, False),
     ("-", 0, True), ("now", 0, True)],
)  # fmt: skip
def test_a_word_without_pieces_needs_time_to_be_said(recogniser, monkeypatch, word, seconds, fits):
    """Else its cut would be too short, or empty, while the words around it look sure."""
    spans = [align.AlignedWord(0, 100, 0.9, 0), align.AlignedWord(100, 100 + int(seconds * 16_000), 1.0, 80)]
    monkeypatch.setattr(align, "_words", lambda *_: spans)
    assert align.align_words(recogniser, noise(32_000), f"call {word}") == (spans if fits else None)


def synthetic(rng, said):
    """Samples in a voice that the base model was not trained on, and where each word is spoken."""
    speech = voices.speak(said, voices.random_voice(rng, synthetic_speech.held_out_variants()))
    lead, tail = (int(length) for length in rng.integers(800, 4800, size=2))
    samples = np.pad(speech.samples, (lead, tail))
    spoken = [(word.start + lead, word.end + lead) for word in speech.words]
    return samples + 1e-3 * rng.standard_normal(len(samples), dtype=np.float32), spoken


def test_word_boundaries_are_where_the_synthesiser_put_them(tiny_en):
    rng = np.random.default_rng(5)
    errors_ms, even_ms, late_ms = [], [], []
    for number in range(60):
        said = text.draw_sentence(rng) if number % 2 else demo._utterance(demo._person(rng), rng)
        samples, spoken = synthetic(rng, said)
        found = align.align_words(tiny_en, samples, said)
        for index in range(1, len(spoken) if found else 0):
            if spoken[index] != spoken[index - 1]:  # not two short words that the synthesiser joins
                errors_ms.append(abs(found[index].start - spoken[index][0]) / 16)
                late_ms.append((found[index].earliest - spoken[index][0]) / 16)
                # Negative control: all words equally long.
                even_ms.append(abs(len(samples) * index / len(spoken) - spoken[index][0]) / 16)
    assert len(errors_ms) > 200
    assert np.median(errors_ms) <= 60 < np.median(even_ms)
    assert np.percentile(errors_ms, 95) <= 150 < np.percentile(even_ms, 95)
    assert np.percentile(late_ms, 95) <= 40  # two fifths of the way is early enough for nearly all
