"""A token-classification model of the Hugging Face hub beside the rules: names and places that no
phrase announces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from speechpriv.errors import ConfigError

_MAX_TOKENS = 256  # of one pass; longer texts are read in pieces
_OVERLAP = 32


@dataclass(frozen=True, slots=True)
class Tagger:
    """Any `AutoModelForTokenClassification` with a fast tokenizer.

    Attributes:
      model: on its device, in eval mode.
      tokenizer: gives character offsets.
      kinds: of each label's index, what is reported; None where the label is nothing personal.
    """

    model: Any
    tokenizer: Any
    kinds: tuple[str | None, ...]

    @classmethod
    def load(cls, name_or_path: str, kinds: Mapping[str, str], device: str = "cpu") -> Self:
        """Read a model.

        Args:
          name_or_path: a directory or a hub id; its own code is never run, its weights are
            safetensors.
          kinds: kind by label, the label without the B- or I- that marks its place in a run.
          device: where it runs.

        Raises:
          ConfigError: it cannot be read, its tokenizer tells no offsets, or it has none of the
            labels.
        """
        from transformers import AutoModelForTokenClassification, AutoTokenizer  # noqa: PLC0415  only if one is named

        try:
            tokenizer = AutoTokenizer.from_pretrained(name_or_path)
            model = AutoModelForTokenClassification.from_pretrained(name_or_path, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"scrub.tagger = {name_or_path!r}: cannot be read as a token-classification model with safetensors "
                f"weights ({type(error).__name__}). Expected a directory or a hub id."
            ) from error
        if not tokenizer.is_fast:
            raise ConfigError(f"scrub.tagger = {name_or_path!r}: expected a fast tokenizer, which tells offsets.")
        labels = [_plain(model.config.id2label[index]) for index in range(model.config.num_labels)]
        found = tuple(kinds.get(label) for label in labels)
        if not any(found):
            raise ConfigError(
                f"scrub.tagger = {name_or_path!r}: its labels are {', '.join(sorted(set(labels)))}, and "
                f"scrub.tagger_kinds knows only {', '.join(kinds)}. Say there which is which kind."
            )
        return cls(model.to(device).eval(), tokenizer, found)

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Find characters [start, end) and kind of every token with a personal label; neighbours of
        one kind are joined.
        """
        import torch  # noqa: PLC0415  only if a tagger is named

        batch = self.tokenizer(
            text,
            return_tensors="pt",
            truncation=True,
            max_length=_MAX_TOKENS,
            stride=_OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
        )
        offsets = batch.pop("offset_mapping").tolist()
        batch.pop("overflow_to_sample_mapping", None)
        with torch.inference_mode():
            best = self.model(**batch.to(self.model.device)).logits.argmax(dim=-1).tolist()
        tokens = sorted(
            (start, end, kind)
            for piece, labels in zip(offsets, best, strict=True)
            for (start, end), label in zip(piece, labels, strict=True)
            if end > start and (kind := self.kinds[label])
        )
        joined: list[tuple[int, int, str]] = []
        for start, end, kind in tokens:
            if joined and joined[-1][2] == kind and not text[joined[-1][1] : start].strip():
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]), kind)
            else:
                joined.append((start, end, kind))
        yield from joined


def _plain(label: str) -> str:
    """Without the mark of its place in a run: "B-PER" and "I-PER" are "PER"."""
    head, _, tail = label.partition("-")
    return (tail if head in ("B", "I", "L", "U", "S", "E") and tail else label).upper()
