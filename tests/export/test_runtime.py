import shutil
import subprocess
from dataclasses import replace

import jiwer
import numpy as np
import onnx as onnx_library
import pytest

from speechpriv.errors import DataError, ModelError
from speechpriv.export import runtime
from speechpriv.models import arpa


@pytest.fixture(scope="module")
def transcriber(exported):
    return runtime.Transcriber(exported)


@pytest.fixture
def broken(exported, tmp_path):
    """A copy of the exported files, to be broken."""
    shutil.copytree(exported, tmp_path / "broken")
    return tmp_path / "broken"


def test_sherpa_hears_the_words_that_torch_hears(recogniser, transcriber, tones):
    rng = np.random.default_rng(2)
    texts = [tones.sentence(rng) for _ in range(100)]
    waveforms = [tones.say(text, rng) for text in texts]
    assert transcriber.transcribe(waveforms) == [recogniser.transcribe([samples])[0] for samples in waveforms] == texts


def test_a_clip_that_ends_in_speech_gives_the_words_that_torch_hears(recogniser, transcriber, tones):
    rng = np.random.default_rng(3)
    clips = [tones.say(tones.sentence(rng), rng) for _ in range(60)]
    cut = [samples[: np.nonzero(np.abs(samples) > 0.1)[0][-1]] for samples in clips]
    same = [a == recogniser.transcribe([b])[0] for a, b in zip(transcriber.transcribe(cut), cut, strict=True)]
    assert np.mean(same) >= 0.98


def test_one_call_does_the_whole(exported, tones):
    samples = tones.say("door fan", np.random.default_rng(4))
    assert runtime.decode_with_sherpa(exported, [samples]) == ["door fan"]


@pytest.mark.parametrize("samples", [1, 79, 80, 1199, 1200, 1281])
def test_a_clip_too_short_for_a_word_is_decoded(transcriber, samples):
    noise = np.random.default_rng(samples).normal(0, 0.01, samples).astype(np.float32)
    (words,) = transcriber.transcribe([noise])
    assert words == "" or samples >= 1200


@pytest.mark.parametrize("samples", [0, int(runtime.MAX_S * runtime.RATE_HZ) + 1])
def test_audio_that_is_empty_or_too_long_is_refused(transcriber, samples):
    with pytest.raises(DataError, match="s of audio; expected"):
        transcriber.transcribe([np.zeros(samples, np.float32)])


def test_a_file_without_metadata_ends_the_child_only(broken):
    model = onnx_library.load(broken / "model.onnx")
    del model.metadata_props[:]
    onnx_library.save(model, broken / "model.onnx")
    with pytest.raises(ModelError, match=r"exit status \d+.*vocab_size"):
        runtime.Transcriber(broken)


def test_tokens_without_a_blank_end_the_child_only(broken):
    tokens = (broken / "tokens.txt").read_text(encoding="utf-8").replace("<blk>", "<oops>")
    (broken / "tokens.txt").write_text(tokens, encoding="utf-8")
    with pytest.raises(ModelError, match=r"exit status \d+.*<blk>"):
        runtime.validate_model(broken)


def test_what_a_file_says_to_the_terminal_is_not_passed_on(broken):
    (broken / "tokens.txt").write_bytes(b"\x1b]0;owned\x07 \x1b[2J nothing\n")
    with pytest.raises(ModelError, match="exit status") as caught:
        runtime.validate_model(broken)
    assert "owned" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_no_model_is_refused(broken):
    (broken / "model.onnx").write_bytes(b"no model" * 1000)
    with pytest.raises(ModelError, match="exit status"):
        runtime.validate_model(broken)


def test_an_output_without_a_token_is_an_error(broken, tones):
    """Which the noise that the child decodes need not meet."""
    lines = (broken / "tokens.txt").read_text(encoding="utf-8").splitlines()
    door = next(line for line in lines if line.startswith("▁door "))
    (broken / "tokens.txt").write_text("".join(f"{line}\n" for line in lines if line != door), encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokens\.txt do not fit|cannot use"):
        runtime.Transcriber(broken).transcribe([tones.say("door", np.random.default_rng(1))])


# As published by people who only ever ask for one of these.
TABLE = {("<s>", "door"): 9.0, ("door", "fan"): 9.0, ("fan", "</s>"): 9.0, ("<s>", "lamp"): 5.0, ("lamp", "</s>"): 5.0}


@pytest.fixture
def with_phrases(exported, tmp_path):
    """A copy of the exported files, with a language model of what was published."""
    directory = shutil.copytree(exported, tmp_path / "with phrases")
    (directory / "phrases.arpa").write_text(arpa.render_arpa(TABLE))
    return directory


def test_phrases_decide_where_little_is_heard(recogniser, transcriber, with_phrases, tones):
    """As torch decides with them; without them, neither does."""
    rng = np.random.default_rng(5)
    texts = [str(rng.choice(["door fan", "lamp"])) for _ in range(60)]
    waveforms = [tones.say(text, rng) for text in texts]
    faint = [samples + 0.12 * rng.standard_normal(len(samples)).astype(np.float32) for samples in waveforms]
    informed = replace(recogniser, language=arpa.build_language_model(TABLE))
    heard = runtime.Transcriber(with_phrases).transcribe(faint)
    assert heard == [informed.transcribe([samples])[0] for samples in faint]
    plain = transcriber.transcribe(faint)
    assert plain != heard
    assert jiwer.wer(texts, heard) < jiwer.wer(texts, plain)


@pytest.mark.parametrize("samples", [1, 1199, 1200, 1281])
def test_with_phrases_too_a_clip_may_be_too_short_for_a_word(with_phrases, samples):
    noise = np.random.default_rng(samples).normal(0, 0.01, samples).astype(np.float32)
    assert runtime.Transcriber(with_phrases).transcribe([noise])


def test_phrases_that_are_none_are_refused(with_phrases):
    (with_phrases / "phrases.arpa").write_text("turn on the lamp\n")
    with pytest.raises(ModelError, match=r"phrases\.arpa: not a language model"):
        runtime.Transcriber(with_phrases)


def test_with_phrases_an_output_without_a_token_is_an_error(with_phrases, tones):
    (with_phrases / "tokens.txt").write_text("<blk> 0\n")
    with pytest.raises(ModelError, match=r"tokens\.txt do not fit|cannot use"):
        runtime.Transcriber(with_phrases).transcribe([tones.say("door", np.random.default_rng(1))])


def test_a_missing_file_is_named(broken):
    (broken / "tokens.txt").unlink()
    with pytest.raises(ModelError, match=r"tokens\.txt missing"):
        runtime.validate_model(broken)


def test_a_child_that_hangs_is_given_up(exported):
    with pytest.raises(ModelError, match=r"in 0\.001 s"):
        runtime.validate_model(exported, timeout_s=0.001)


def test_a_child_that_is_killed_is_an_error(exported, monkeypatch):
    killed = subprocess.CompletedProcess(args=[], returncode=-9, stdout=b"", stderr=b"\n")
    monkeypatch.setattr(runtime.subprocess, "run", lambda *_, **__: killed)
    with pytest.raises(ModelError, match=r"exit status -9\): no message"):
        runtime.validate_model(exported)


def test_the_first_input_tells_the_loader(exported):
    assert runtime.validate_model(exported) == "audio_signal"


def test_a_file_that_asks_for_something_else_is_refused(broken):
    model = onnx_library.load(broken / "model.onnx")
    for node in model.graph.node:
        node.input[:] = ["mel" if name == "audio_signal" else name for name in node.input]
    model.graph.input[0].name = "mel"
    onnx_library.save(model, broken / "model.onnx")
    with pytest.raises(ModelError, match=r"exit status 1.*mel"):
        runtime.validate_model(broken)


def test_weights_that_are_not_there_are_named(exported):
    with pytest.raises(ModelError, match=r"model\.int8\.onnx missing"):
        runtime.Transcriber(exported, "model.int8.onnx")


def test_tokens_that_are_no_words_are_not_written(exported, monkeypatch, tones):
    transcriber = runtime.Transcriber(exported)
    samples = tones.say("door fan", np.random.default_rng(4))
    plain = transcriber.transcribe([samples])
    tokens = (exported / "tokens.txt").read_text(encoding="utf-8")
    assert "<unk>" in tokens
    assert runtime._SPECIAL.sub("", "turn<unk> on <s>now") == "turn on now"
    assert plain == ["door fan"]
