"""Cost of private training: time and memory of a step over those of a step without privacy, on the same audio.

OMP_NUM_THREADS=1 python benchmarks/training.py [--device cuda]

A step without privacy is one batch, its mean loss, backward, AdamW. A private one is the clipped sum over units and
AdamW; what the noise adds on top is shown beside it. Opacus makes its own step, without noise, one utterance a unit.
Every measurement is a process of its own, forked once the libraries are there. Time is its processor time (on a GPU:
time), the least of three steps; memory is how far ru_maxrss (on a GPU: what torch has allocated) rises above where it
was before the first of them.
"""

import argparse
import functools
import multiprocessing
import resource
import runpy
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from opacus import grad_sample, optimizers
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

from speechpriv.audio import RATE_HZ
from speechpriv.models import asr, ctc, seq2seq, trainable
from speechpriv.models.asr import Recogniser, Utterance
from speechpriv.train import clipping, noise, sampling

UTTERANCES, SECONDS, TEXT = 16, 2.0, "turn on the lights"
STEPS = 3
SMALL = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "small_recognisers.py"))
TEN_MILLION = {
    "hidden_size": 256, "num_hidden_layers": 10, "num_attention_heads": 4, "intermediate_size": 1024,
    "conv_dim": [256] * 7, "num_conv_pos_embeddings": 64, "num_conv_pos_embedding_groups": 16,
}  # fmt: skip
BASE = {
    name: getattr(hf.Wav2Vec2Config(), name) for name in SMALL["WAV2VEC2"] if name not in ("vocab_size", "pad_token_id")
}
LAYER_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
DECODING = {
    "d_model": 256, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 1024, "decoder_ffn_dim": 1024,
}  # fmt: skip


def made(model: str) -> Recogniser:
    """A recogniser of a shape, random but for tiny-en; the output layers of Whisper and Speech2Text are not tied."""
    torch.manual_seed(0)
    if model == "tiny-en":
        return asr.load("tiny-en")
    with tempfile.TemporaryDirectory() as directory:
        if model in ("whisper", "speech2text"):
            SMALL["DECODING"].update(DECODING)
            recogniser: Recogniser = seq2seq.Seq2SeqRecogniser(*SMALL["MADE"][model](Path(directory)))
            recogniser.head.weight = torch.nn.Parameter(recogniser.head.weight.detach().clone())
        else:
            shape = {"wav2vec2, layer norm": TEN_MILLION | LAYER_NORM, "wav2vec2-base": BASE}.get(model, TEN_MILLION)
            parts = SMALL["_wav2vec2"](hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, **shape)(Path(directory))
            recogniser = ctc.CtcRecogniser(*parts)
    recogniser.model.eval()
    return recogniser


def chosen(recogniser: Recogniser, which: trainable.Trainable) -> dict[str, torch.nn.Parameter]:
    """What is trained; never what Opacus has no gradients for and nobody misses: positions, and the unused mask."""
    names = trainable.choose_trainable(recogniser, which)
    for name in names:
        if "embed_positions" in name or "masked_spec_embed" in name:
            recogniser.model.get_parameter(name).requires_grad_(requires_grad=False)
    return {name: p for name, p in recogniser.model.named_parameters() if p.requires_grad}


def audio() -> list[Utterance]:
    """A batch of noise."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, (UTTERANCES, round(SECONDS * RATE_HZ))).astype(np.float32)
    return [Utterance(row, TEXT) for row in samples]


def plain(recogniser: Recogniser, parameters: dict[str, Any]) -> Callable[[], float]:
    """A step without privacy; this and the others return the seconds that went into noise."""
    optimizer, batch = torch.optim.AdamW(parameters.values(), lr=1e-6), audio()

    def step() -> float:
        optimizer.zero_grad()
        recogniser.losses(batch).mean().backward()
        optimizer.step()
        return 0.0

    return step


def private(recogniser: Recogniser, parameters: dict[str, Any], per_unit: int) -> Callable[[], float]:
    """A private step on units of so many utterances."""
    optimizer, batch = torch.optim.AdamW(parameters.values(), lr=1e-6), audio()
    units = [batch[i : i + per_unit] for i in range(0, UTTERANCES, per_unit)]

    def step() -> float:
        total = clipping.clipped_sum(recogniser, units, 1.0)
        start_s = time.process_time()
        noised = noise.add_noise(total, bytes(32), 0, clip_norm=1.0, noise_multiplier=1.0, rounding=0.0)
        noise_s = time.process_time() - start_s
        for name, parameter in parameters.items():
            parameter.grad = noised[name] / len(units)
        optimizer.step()
        return noise_s

    return step


def opacus(recogniser: Recogniser, parameters: dict[str, Any], *, ghost: bool) -> Callable[[], float]:
    """A step of Opacus without noise, whose bound is above every gradient; its first one must be the plain gradient."""
    batch, model = audio(), recogniser.model
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None  # its gradient is 0, and Opacus' is not
    expected = torch.autograd.grad(recogniser.losses(batch).mean(), list(parameters.values()), allow_unused=True)
    wrap, kind = (
        (grad_sample.GradSampleModuleFastGradientClipping, optimizers.DPOptimizerFastGradientClipping)
        if ghost
        else (grad_sample.GradSampleModule, optimizers.DPOptimizer)
    )
    for module in model.modules():
        # Opacus looks at layers in training mode only; no other is to become random.
        module.training = any(p.requires_grad for p in module.parameters(recurse=False))
    wrapped = wrap(model, strict=False, **({"max_grad_norm": 1e6} if ghost else {}))
    optimizer = kind(
        torch.optim.AdamW(parameters.values(), lr=1e-6), noise_multiplier=0.0, max_grad_norm=1e6,
        expected_batch_size=UTTERANCES,
    )  # fmt: skip

    def step() -> float:
        optimizer.zero_grad()
        losses = recogniser.losses(batch)
        (DPTensorFastGradientClipping(wrapped, optimizer, losses) if ghost else losses.mean()).backward()
        optimizer.step()
        return 0.0

    step()
    pairs = [(p.grad, e) for p, e in zip(parameters.values(), expected, strict=True) if e is not None]
    gap = sum(float((g - e).norm() ** 2) for g, e in pairs) / sum(float(e.norm() ** 2) for _, e in pairs)
    if gap > 1e-6:
        raise ValueError(f"gradients are wrong by {gap**0.5:.0%}")
    return step


VARIANTS: dict[str, Callable[..., Callable[[], float]]] = {
    "no privacy": plain,
    "units of 4": functools.partial(private, per_unit=4),
    "units of 1": functools.partial(private, per_unit=1),
    "Opacus hooks": functools.partial(opacus, ghost=False),
    "Opacus ghost": functools.partial(opacus, ghost=True),
}


def measured(model: str, which: trainable.Trainable, variant: str, device: str) -> tuple[float, float, float] | str:
    """Seconds without noise, seconds of noise, and MiB; or what went wrong, which Opacus may."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    recogniser = made(model)
    recogniser.model.to(device)
    parameters = chosen(recogniser, which)
    before_mib, seconds = peak_mib(device), []
    try:
        step = VARIANTS[variant](recogniser, parameters)
        for _ in range(STEPS):
            start_s = clock_s(device)
            noise_s = step()
            seconds.append((clock_s(device) - start_s - noise_s, noise_s))
    except Exception as error:  # noqa: BLE001  whatever it is
        return f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"
    return *min(seconds), peak_mib(device) - before_mib


def clock_s(device: str) -> float:
    """Processor time, which other work on the machine moves less; on a GPU, time."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def peak_mib(device: str) -> float:
    """The most memory so far."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated() / 2**20


def compare(model: str, which: trainable.Trainable, variants: tuple[str, ...], device: str) -> None:
    """A few lines of the table."""
    context, found = multiprocessing.get_context("fork"), {}
    for variant in ("no privacy", *variants):
        with context.Pool(1) as pool:
            found[variant] = pool.apply(measured, (model, which, variant, device))
    base_s, _, base_mib = found.pop("no privacy")
    print(f"{model}, {which}: without privacy {base_s:.2f} s, {base_mib:.0f} MiB")
    for variant, result in found.items():
        if isinstance(result, str):
            print(f"    {variant:13} {result}")
        else:
            step_s, noise_s, mib = result
            times = f"time {step_s / base_s:5.2f}   with noise {(step_s + noise_s) / base_s:5.2f}"
            print(f"    {variant:13} {times}   memory {mib / base_mib:5.2f}", flush=True)


def growth() -> None:
    """What a larger corpus costs, and a larger cohort."""
    for corpus in (1_000, 1_000_000):
        start_s = time.process_time()
        units = sampling.draw_cohort(bytes(32), 0, corpus, 64 / corpus)
        for unit in units:
            sampling.choose_utterances(bytes(32), str(unit), [SECONDS] * 10, 4, step=0)
        print(f"drawing {len(units)} of {corpus:,} units: {(time.process_time() - start_s) * 1e3:.1f} ms")
    torch.set_num_threads(1)
    recogniser, batch = made("tiny-en"), audio()
    for which in ("all", "head"):
        trainable.choose_trainable(recogniser, which)
        for cohort in (8, 16, 32, 64):
            units = [[batch[i % UTTERANCES]] for i in range(cohort)]
            start_s = time.process_time()
            clipping.clipped_sum(recogniser, units, 1.0)
            each_ms = (time.process_time() - start_s) / cohort * 1e3
            print(f"tiny-en, {which}: {cohort} units of 1: {each_ms:.1f} ms a unit", flush=True)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    peers = ("Opacus hooks", "Opacus ghost")
    shapes = (
        "wav2vec2, group norm",
        "wav2vec2, layer norm",
        "tiny-en",
        *(["wav2vec2-base"] if device != "cpu" else []),
    )
    for model in shapes:
        compare(model, "all", ("units of 4", "units of 1", *peers), device)
        compare(model, "lora", ("units of 1",), device)
        compare(model, "head", ("units of 1", *peers), device)
    for model in ("whisper", "speech2text"):
        compare(model, "all", ("units of 4", "units of 1", *peers), device)
    growth()


if __name__ == "__main__":
    main()
