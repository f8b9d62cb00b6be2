"""A small random recogniser of every family, with dropout, LayerDrop and SpecAugment as its config has them."""

import json
from collections.abc import Callable
from pathlib import Path

import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from speechpriv.models import new

LETTERS = list("abcdefghijklmnopqrstuvwxyz'")
TEXTS = ("turn on the lights", "stop the music", "open the door", "set a timer", "good night")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
WAV2VEC2 = SMALL | {
    "conv_dim": [16] * 7, "num_conv_pos_embeddings": 15, "num_conv_pos_embedding_groups": 2,
    "vocab_size": 32, "pad_token_id": 0, "mask_time_length": 4,
}  # fmt: skip


def _letters(directory: Path) -> hf.PreTrainedTokenizerBase:
    """Capitals, as the published checkpoints of the wav2vec 2.0 kind have."""
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *(letter.upper() for letter in LETTERS)]
    path = directory / "vocab.json"
    path.write_text(json.dumps({symbol: number for number, symbol in enumerate(symbols)}))
    return hf.Wav2Vec2CTCTokenizer(str(path))


def _words(*special: str, **names: str) -> hf.PreTrainedTokenizerBase:
    """Byte-pair pieces with special tokens first; every text gets the last of them at its end."""
    backend = Tokenizer(models.BPE({s: i for i, s in enumerate([*special, "▁", *LETTERS])}, [], unk_token=special[-2]))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    end = special[-1]
    backend.post_processor = processors.TemplateProcessing(f"$A {end}", special_tokens=[(end, special.index(end))])
    return hf.PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _wav2vec2(config: type, model: type, **changed: object) -> Callable[[Path], tuple]:
    def made(directory: Path) -> tuple:
        front_end = hf.Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True)
        return model(config(**(WAV2VEC2 | changed))), front_end, _letters(directory)

    return made


def _wav2vec2_bert(directory: Path) -> tuple:
    config = hf.Wav2Vec2BertConfig(**(WAV2VEC2 | {"add_adapter": False}))
    return hf.Wav2Vec2BertForCTC(config), hf.SeamlessM4TFeatureExtractor(), _letters(directory)


def _parakeet(_: Path) -> tuple:
    pieces = new.train_tokenizer(TEXTS, 60)
    encoder = SMALL | {"subsampling_conv_channels": 8}
    config = hf.ParakeetCTCConfig(vocab_size=len(pieces), pad_token_id=pieces.pad_token_id, encoder_config=encoder)
    return hf.ParakeetForCTC(config), hf.ParakeetFeatureExtractor(), pieces


def _lasr(_: Path) -> tuple:
    pieces = hf.LasrTokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)],
        extra_ids=0,
    )
    encoder = SMALL | {"subsampling_conv_channels": 8, "conv_kernel_size": 8}
    config = hf.LasrCTCConfig(vocab_size=len(pieces), pad_token_id=0, encoder_config=encoder)
    return hf.LasrForCTC(config), hf.LasrFeatureExtractor(), pieces


DECODING = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
}  # fmt: skip


def _whisper(_: Path) -> tuple:
    tokens = _words("<|endoftext|>", "<unk>", "</s>", pad_token="<|endoftext|>", eos_token="</s>", unk_token="<unk>")
    config = hf.WhisperConfig(
        **DECODING, vocab_size=len(tokens), max_source_positions=150, max_target_positions=64, pad_token_id=0,
        bos_token_id=0, decoder_start_token_id=0, eos_token_id=2, suppress_tokens=None, begin_suppress_tokens=None,
        apply_spec_augment=True, mask_time_length=4, encoder_layerdrop=0.1, decoder_layerdrop=0.1, dropout=0.1,
    )  # fmt: skip
    front_end = hf.WhisperFeatureExtractor(feature_size=80, chunk_length=3)
    return hf.WhisperForConditionalGeneration(config), front_end, tokens


def _speech_to_text(_: Path) -> tuple:
    tokens = _words(
        "<s>", "<pad>", "<unk>", "</s>", bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = hf.Speech2TextConfig(
        **DECODING, vocab_size=len(tokens), max_target_positions=64, conv_channels=24, pad_token_id=1, bos_token_id=0,
        eos_token_id=3, decoder_start_token_id=3, encoder_layerdrop=0.1, decoder_layerdrop=0.1,
    )  # fmt: skip
    return hf.Speech2TextForConditionalGeneration(config), hf.Speech2TextFeatureExtractor(), tokens


def _moonshine(_: Path) -> tuple:
    tokens = _words(
        "<s>", "<pad>", "<unk>", "</s>", bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = hf.MoonshineConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=48, encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2, encoder_num_attention_heads=2, decoder_num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=1, bos_token_id=0, eos_token_id=3, decoder_start_token_id=0,
        attention_dropout=0.1,
    )  # fmt: skip
    front_end = hf.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    return hf.MoonshineForConditionalGeneration(config), front_end, tokens


MADE: dict[str, Callable[[Path], tuple]] = {
    "wav2vec2": _wav2vec2(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC),
    "wav2vec2-layer-norm": _wav2vec2(
        hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True
    ),
    "hubert": _wav2vec2(hf.HubertConfig, hf.HubertForCTC),
    "wavlm": _wav2vec2(hf.WavLMConfig, hf.WavLMForCTC),
    "wav2vec2-conformer": _wav2vec2(hf.Wav2Vec2ConformerConfig, hf.Wav2Vec2ConformerForCTC),
    "data2vec-audio": _wav2vec2(hf.Data2VecAudioConfig, hf.Data2VecAudioForCTC),
    "wav2vec2-bert": _wav2vec2_bert,
    "parakeet": _parakeet,
    "lasr": _lasr,
    "whisper": _whisper,
    "speech2text": _speech_to_text,
    "moonshine": _moonshine,
}


def save(name: str, directory: Path) -> Path:
    """Write a random recogniser of a family, as anybody's `save_pretrained` does."""
    for part in MADE[name](directory):
        part.save_pretrained(directory)
    return directory
