"""The stage that publishes what many people say: one release of n-grams, in the ledger like any
other.
"""

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from speechpriv import corpus as corpora
from speechpriv import store
from speechpriv.config import PhrasesConfig, PrivacyConfig
from speechpriv.corpus import Corpus
from speechpriv.errors import BudgetError, ConfigError
from speechpriv.models.arpa import PUBLISHED
from speechpriv.models.spelling import words_and_slots
from speechpriv.sections import Section
from speechpriv.train import accounting, phrases, releases
from speechpriv.train import place as places
from speechpriv.train.ledger import Ledger
from speechpriv.train.mechanism import SampledGaussian

RELEASE = "release.json"
MOST = 0.9  # of epsilon


class PhrasebookConfig(Section):
    """What the table and the guarantee depend on."""

    privacy: PrivacyConfig


@releases.tell_what_is_left
@store.stage(version=2, resumable=True)
def run(
    config: PhrasebookConfig, inputs: Mapping[str, Path], out_dir: Path, *, key: bytes, ledger: Path
) -> dict[str, Any]:
    """Publish the n-grams that many units of `inputs["corpus"]`'s train split say; write
    `phrases.json` and, for whoever learns from it, `release.json`.

    Args:
      config: see `PhrasebookConfig`; `privacy.phrases` says how much is spent, and on what.
      inputs: `corpus`.
      out_dir: the stage directory.
      key: 32 bytes that stay in `private/` and are destroyed when training ends.
      ledger: the ledger file of the corpus's lineage.

    Raises:
      BudgetError: with the training that is to follow it would exceed the corpus's budget, or have
        no finite epsilon; nothing was published.
      LedgerError: the ledger is damaged, or holds runs that protect another kind of unit.
    """
    privacy, asked = config.privacy, config.privacy.phrases
    if asked is None:
        raise ConfigError("privacy.phrases is not set: expected what may be spent on them, for example {epsilon: 1}.")
    corpus = corpora.read(inputs["corpus"])
    place = places.describe_place()
    key = releases.key_for(key, (out_dir / store.IDENTITY).read_bytes(), corpus, place=place)
    run_id = releases.run_id(key)
    with Ledger(ledger) as book:
        releases.list_others(book, {run_id}, privacy)
        event = event_of(privacy, asked, releases.sum_thresholding_delta(book, run_id))
        event_json = accounting.event_to_json(event)
        training = releases.training_event(privacy, releases.training_noise(privacy, [event]), privacy.steps)
        to_follow = [accounting.event_to_json(training)]
        places.say_if_moved(out_dir, place)
        releases.reserve_release(book, run_id, event_json, privacy, out_dir, to_follow)
        places.keep_place(out_dir, place)
        book.record_step(run_id, 0)
        table = phrases.release_ngrams(
            collect_transcripts(corpus), hmac.digest(key, b"phrases", "sha256"), order=asked.order, cap=asked.cap,
            noise_multiplier=event.noise_multiplier, slip=event.slip,
        )  # fmt: skip
        book.close_run(run_id)
    store.write_json(out_dir / PUBLISHED, [[*gram, weight] for gram, weight in table.items()])
    store.write_json(out_dir / RELEASE, {"run_id": run_id, "event": event_json, "cap": asked.cap})
    words = {word for gram in table for word in gram} - {phrases.START, phrases.END}
    return {"epsilon": epsilon_of(privacy, asked), "phrases": len(table), "words": len(words)}


def event_of(privacy: PrivacyConfig, asked: PhrasesConfig, slipped: float = 0.0) -> SampledGaussian:
    """Return the mechanism: half of delta is for noise, and of the other half, each release's slip
    is half of what is left.

    So it is a quarter of delta in a corpus's first release, an eighth in the second, and slips
    never add up to delta.

    Args:
      privacy: epsilon and delta.
      asked: see `epsilon_of`.
      slipped: what may slip of earlier releases, see `releases.sum_thresholding_delta`.

    Raises:
      BudgetError: earlier releases leave nothing of it, as those for a larger delta do.
    """
    slip = (privacy.delta / 2 - slipped) / 2
    if not slip > 0:
        raise BudgetError(
            f"privacy.delta = {privacy.delta:g}: what earlier releases of phrases may let slip, with a probability of "
            f"{slipped:.3g}, takes up half of it. Expected more than {2 * slipped:.3g}; or leave out privacy.phrases."
        )
    sigma = accounting.noise_multiplier(
        sampling_rate=1.0, steps=1, epsilon=epsilon_of(privacy, asked), delta=privacy.delta, slip=slip
    )
    return accounting.build_event(1.0, sigma, 1, slip=slip)


def epsilon_of(privacy: PrivacyConfig, asked: PhrasesConfig) -> float:
    """Return what phrases get of epsilon; training gets at least a tenth."""
    return min(asked.epsilon, MOST * privacy.epsilon)


def collect_transcripts(corpus: Corpus) -> dict[str, list[list[str]]]:
    """Collect the transcripts of each unit that is trained on, in words; what was scrubbed is a
    word of its own, `[NAME]`.
    """
    texts = corpus.table["text"][:]
    return {unit: [words_and_slots(texts[row]) for row in rows] for unit, rows in corpus.units("train").items()}


class Published(NamedTuple):
    """A table's release: its name in the ledger, its event as JSON, and how many n-grams of a unit
    count.
    """

    run_id: str
    event: str
    cap: int


def read_published(directory: Path) -> Published:
    """Read the release that a stage published, or that its model learned from."""
    return Published(**store.read_json(directory / RELEASE))
