"""Decode a bundle with sherpa-onnx: python with_sherpa_onnx.py BUNDLE FILE..."""

import sys

import sherpa_onnx
import soundfile

bundle, *files = sys.argv[1:]
recogniser = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(  # from_omnilingual_asr_ctc for a model on raw samples
    model=f"{bundle}/model.onnx", tokens=f"{bundle}/tokens.txt"
)
for file in files:
    samples, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    stream = recogniser.create_stream()
    stream.accept_waveform(rate_hz, samples.mean(axis=1))
    recogniser.decode_stream(stream)
    print(f"{file}\t{stream.result.text.strip()}")
