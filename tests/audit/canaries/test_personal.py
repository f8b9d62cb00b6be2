import dataclasses
import re
import string
from collections import Counter

import numpy as np
import pytest

from speechpriv import audio, corpus
from speechpriv.audit.canaries import canary, personal
from speechpriv.config import CanaryConfig
from speechpriv.data import text
from speechpriv.errors import AuditError
from speechpriv.scrub import clean, detect
from speechpriv.sections import ScrubConfig

KEY = b"i" * 32
KINDS = ("name", "phone", "card", "email", "address")
FEW = CanaryConfig(personal=2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, corpus_dir):
    """The stage over the corpus of synthetic people."""
    return personal.run(FEW, {"corpus": corpus_dir}, tmp_path_factory.mktemp("run") / "personal", key=KEY)


@pytest.fixture(scope="module")
def scrubbed(planted, tiny_en, tmp_path_factory):
    """What the scrubber really leaves."""
    inputs = {"corpus": planted.directory / "corpus"}
    out = tmp_path_factory.mktemp("run") / "scrub"
    return clean.run(clean.CleanConfig(scrub=ScrubConfig()), inputs, out, key=KEY).directory


def test_as_many_as_asked_for_among_the_others(planted, corpus_dir):
    probes = personal.read(planted.directory)
    assert Counter(probe.kind for probe in probes) == dict.fromkeys(KINDS, 2)
    before, after = corpus.read(corpus_dir), corpus.read(planted.directory / "corpus")
    assert planted.counts == {"rows": len(after), "rows_added": 2 * len(KINDS), **dict.fromkeys(KINDS, 2)}
    ids = {probe.id for probe in probes}
    added = [row for row in after.rows() if row.id in ids]
    assert len(after) == len(before) + len(added) == len(before) + 10
    # Nothing is tested on them, nobody's unit is touched, and the budget is the same corpus's.
    assert {row.split for row in added} == {"train"}
    assert len({row.unit for row in added}) == 10
    assert after.units("test").keys() == before.units("test").keys()
    assert before.units("train").keys() == after.units("train").keys() - {row.unit for row in added}
    assert after.lineage == before.lineage
    # They look like all rows that were taken in.
    assert all(re.fullmatch("[0-9a-f]{16}", name) for row in added for name in (row.id, row.unit))
    secrets = {probe.id: probe.secret for probe in probes}
    assert all(secrets[row.id] in row.text for row in added)


def test_the_key_decides():
    assert personal.make(FEW, KEY)[0] == personal.make(FEW, KEY)[0]
    assert not {p.id for p in personal.make(FEW, KEY)[0]} & {p.id for p in personal.make(FEW, b"o" * 32)[0]}


def test_none_asked_for(corpus_dir, tmp_path):
    done = personal.run(CanaryConfig(personal=0), {"corpus": corpus_dir}, tmp_path / "personal", key=KEY)
    assert personal.read(done.directory) == []
    assert len(corpus.read(done.directory / "corpus")) == len(corpus.read(corpus_dir))


def test_nobody_is_real():
    rng = np.random.default_rng(0)
    digits = {word: str(value) for value, word in enumerate(text.ONES)}
    for _ in range(50):
        phone = "".join(digits[word] for word in personal._phone(rng).split())
        assert re.fullmatch(r"[2-9]\d\d55501\d\d", phone)
        card = [int(digits[word]) for word in personal._card(rng).split()]
        assert len(card) == 16
        assert card[:4] == [9, 9, 9, 9]
        doubled = [d if i % 2 else (2 * d if d < 5 else 2 * d - 9) for i, d in enumerate(card)]
        assert sum(doubled) % 10 == 0
        assert re.search(r"at example dot (com|org|net)$", personal._email(rng))


def test_secrets_share_no_word_with_their_carriers():
    """Else a word that scrubbing rightly leaves would count as missed."""
    rng = np.random.default_rng(0)
    for kind, carriers in personal._CARRIERS.items():
        around = {word for carrier in carriers for word in carrier.split()}
        for _ in range(300):
            secret = personal._SECRETS[kind](rng)
            assert around.isdisjoint(secret.split())
            assert set(secret) <= {*string.ascii_lowercase, "'", " "}


def test_the_scrubber_finds_them_in_text():
    """Measured: none of 65,000 is missed. One in a thousand would show here half of the time."""
    rng = np.random.default_rng(1)
    for kind, carriers in personal._CARRIERS.items():
        for carrier in carriers:
            for _ in range(50):
                secret = personal._SECRETS[kind](rng)
                said = carrier.format(secret)
                left = detect.mask(said, detect.find(said)).split()
                assert set(left).isdisjoint(secret.split())


def test_nothing_is_left_after_scrubbing(planted, scrubbed):
    probes = personal.read(planted.directory)
    assert personal.count_missed(probes, corpus.read(scrubbed)) == dict.fromkeys(KINDS, 0)


def test_a_scrubber_that_misses_is_seen(planted, scrubbed):
    """Negative control: nothing scrubbed, one word left, one phrase dropped."""
    probes = personal.read(planted.directory)
    assert personal.count_missed(probes, corpus.read(planted.directory / "corpus")) == dict.fromkeys(KINDS, 2)
    left = next(corpus.read(scrubbed)[i] for i in range(1000) if corpus.read(scrubbed)[i].id in {p.id for p in probes})
    word = next(word for word in left.text.split() if not word.startswith("["))
    altered = [dataclasses.replace(p, secret=f"{word} x") if p.id == left.id else p for p in probes]
    found = personal.count_missed(altered, corpus.read(scrubbed))
    assert sum(found.values()) == 1


def test_a_dropped_phrase_is_not_missed(planted, corpus_dir):
    assert sum(personal.count_missed(personal.read(planted.directory), corpus.read(corpus_dir)).values()) == 0


def test_none_is_trained_on(planted, tmp_path):
    config = CanaryConfig.model_construct(candidates=10, references=2, repeats=(1,), words=3)
    inputs = {"corpus": planted.directory / "corpus", "personal": planted.directory}
    training = corpus.read(canary.run(config, inputs, tmp_path / "plant", key=KEY).directory / "corpus")
    assert not {probe.id for probe in personal.read(planted.directory)} & set(training.table["id"][:])
    assert not [row for row in training.rows() if "example" in row.text]


@pytest.mark.parametrize("line", ["", "[]", "{}", "not json"])
def test_a_damaged_registry(tmp_path, line):
    (tmp_path / personal.REGISTRY).write_text(line + "\n")
    with pytest.raises(AuditError, match="registry of personal phrases"):
        personal.read(tmp_path)


def test_spoken_loudly_enough_to_be_taken_in(planted):
    ids = {probe.id for probe in personal.read(planted.directory)}
    for row in corpus.read(planted.directory / "corpus").rows():
        if row.id in ids:
            assert np.abs(row.samples()).max() > 0.01
            assert row.seconds == pytest.approx(len(row.samples()) / audio.RATE_HZ)
