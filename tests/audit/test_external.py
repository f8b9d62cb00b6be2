import json
import os
import shutil
import stat
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from speechpriv import audio, cli, corpus, store
from speechpriv import config as configs
from speechpriv.audit import external
from speechpriv.audit.attacks import scores
from speechpriv.audit.canaries import canary, survival
from speechpriv.audit.canaries.canary import Canary
from speechpriv.claim import Claim
from speechpriv.config import AuditConfig, CanaryConfig
from speechpriv.data import sources, voices
from speechpriv.errors import AuditError, ConfigError, DataError
from speechpriv.sections import DataConfig

# Fewer references than a config may ask for: what is spoken costs time.
SMALL = CanaryConfig.model_construct(candidates=20, references=3, repeats=(1, 3), words=3)
SILENCE = audio.encode_flac(np.zeros(1600, np.float32))


@pytest.fixture(scope="module")
def canaries(tmp_path_factory):
    """What `make` writes."""
    directory = tmp_path_factory.mktemp("elsewhere") / "canaries"
    assert external.make_canaries(directory, SMALL) == directory / "planted"
    return directory


@pytest.fixture
def people(tmp_path):
    """Somebody's folder of recordings, one of them in a folder below."""
    directory = tmp_path / "people"
    (directory / "more").mkdir(parents=True)
    records = []
    for i, name in enumerate(["a.flac", "b.flac", "more/c.flac"]):
        (directory / name).write_bytes(SILENCE)
        records.append({"path": name, "sentence": "words", "speaker": f"s{i}", "age": 40})
    (directory / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return directory


def records_of(directory):
    return [json.loads(line) for line in (directory / "metadata.jsonl").read_text().splitlines()]


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_only_what_is_planted_can_be_trained_on(canaries):
    registry, phrases = canary.read(canaries)
    assert len(registry) == 23
    found = records_of(canaries / "planted")
    assert Counter(record["user"] for record in found) == {c.id: c.repeats for c in registry if c.planted}
    said = {row.id: row for row in phrases.rows()}
    for record in found:
        assert record["text"] == said[record["user"]].text
        assert (canaries / "planted" / record["file_name"]).read_bytes() == said[record["user"]].flac
    assert len(list((canaries / "planted").iterdir())) == len(found) + 1


def test_nobody_else_may_look(canaries):
    assert stat.S_IMODE(canaries.stat().st_mode) == 0o700


def test_every_drawing_is_another(canaries, tmp_path):
    external.make_canaries(tmp_path / "again", SMALL)
    ids = [{c.id for c in canary.read_registry(directory)} for directory in (canaries, tmp_path / "again")]
    assert not ids[0] & ids[1]


def test_drawn_once(canaries):
    before = contents(canaries)
    with pytest.raises(AuditError, match="exists already"):
        external.make_canaries(canaries, SMALL)
    assert contents(canaries) == before


def test_half_a_drawing_is_none(tmp_path, monkeypatch):
    def no_voice(*_):
        raise ConfigError("no voices")

    monkeypatch.setattr(voices, "speak", no_voice)
    with pytest.raises(ConfigError):
        external.make_canaries(tmp_path / "canaries", SMALL)
    assert not list(tmp_path.iterdir())


def test_inserted_under_the_names_of_the_corpus(canaries, people, tmp_path):
    before, planted = contents(people), records_of(canaries / "planted")
    assert external.insert_canaries(canaries, people, tmp_path / "both") == len(planted)
    assert contents(people) == before
    found = records_of(tmp_path / "both")
    assert found[:3] == records_of(people)
    assert found[3:] == [{"path": r["file_name"], "sentence": r["text"], "speaker": r["user"]} for r in planted]
    assert all((tmp_path / "both" / record["path"]).read_bytes() for record in found)


def test_what_is_inserted_is_taken_in(canaries, people, tmp_path):
    """The pipeline itself, or any reader of such folders, finds people and canaries."""
    external.insert_canaries(canaries, people, tmp_path / "both")
    found = list(sources.open_source(DataConfig(source="folder", path=str(tmp_path / "both"))))
    units = Counter(row.unit for row in found)
    expected = {c.id: c.repeats for c in canary.read_registry(canaries) if c.planted}
    assert units == {"s0": 1, "s1": 1, "s2": 1, **expected}
    assert all(row.audio.is_file() for row in found)


def test_no_newline_at_the_end(canaries, people, tmp_path):
    path = people / "metadata.jsonl"
    path.write_text(path.read_text().rstrip())
    external.insert_canaries(canaries, people, tmp_path / "both")
    assert len(records_of(tmp_path / "both")) == 3 + len(records_of(canaries / "planted"))


def test_files_of_other_places_are_links_or_copies(canaries, people, tmp_path, monkeypatch):
    external.insert_canaries(canaries, people, tmp_path / "linked")
    assert (tmp_path / "linked" / "a.flac").samefile(people / "a.flac")
    assert not (tmp_path / "linked" / "metadata.jsonl").samefile(people / "metadata.jsonl")

    def no_links(*_):
        raise OSError

    monkeypatch.setattr(os, "link", no_links)
    external.insert_canaries(canaries, people, tmp_path / "copied")
    assert contents(tmp_path / "copied") == contents(tmp_path / "linked")
    assert not (tmp_path / "copied" / "a.flac").samefile(people / "a.flac")


def test_planted_twice(canaries, people, tmp_path):
    external.insert_canaries(canaries, people, tmp_path / "once")
    before = contents(tmp_path / "once")
    with pytest.raises(AuditError, match="holds these canaries already"):
        external.insert_canaries(canaries, tmp_path / "once", tmp_path / "twice")
    assert contents(tmp_path / "once") == before
    assert not (tmp_path / "twice").exists()


def test_places_that_cannot_be_used(canaries, people, tmp_path):
    before = contents(tmp_path)
    with pytest.raises(AuditError, match="exists already"):
        external.insert_canaries(canaries, people, tmp_path)
    with pytest.raises(AuditError, match="lies in the corpus itself"):
        external.insert_canaries(canaries, people, people / "more" / "both")
    with pytest.raises(AuditError, match="expected a folder of recordings"):
        external.insert_canaries(canaries, people / "more", tmp_path / "both")
    with pytest.raises(AuditError, match="canary make"):
        external.insert_canaries(people, people, tmp_path / "both")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("first", ["not json", "[1, 2]", ""])
def test_metadata_that_cannot_be_read(canaries, people, tmp_path, first):
    (people / "metadata.jsonl").write_text(first + "\n")
    with pytest.raises(AuditError, match="line 1"):
        external.insert_canaries(canaries, people, tmp_path / "both")


def test_columns_that_are_not_known(canaries, people, tmp_path):
    (people / "metadata.jsonl").write_text('{"path": "a.flac", "speaker": "s0", "secret words": ""}\n')
    with pytest.raises(DataError, match="no column for the text"):
        external.insert_canaries(canaries, people, tmp_path / "both")
    assert not (tmp_path / "both").exists()


@pytest.fixture
def silent(tmp_path):
    """A registry that is large enough to judge by, with phrases that nobody had to speak."""
    registry = [Canary(f"candidate{i}", 1, planted=i % 2 == 0) for i in range(40)]
    registry += [Canary(f"reference{i}", 0, planted=False) for i in range(1000)]
    canary.write(registry, (corpus.Row(c.id, c.id, "test", SILENCE, "made up words", 0.1) for c in registry), tmp_path)
    return tmp_path, np.array([c.planted for c in registry])


@pytest.fixture
def scored(monkeypatch, silent):
    """`scores.score_phrases` without models: those called `leaky` know what was planted."""
    rng = np.random.default_rng(3)

    def scored(models, base, phrases):
        assert base == "before"
        assert len(phrases) == 1040
        return {name: rng.normal(size=1040) - 9 * silent[1] * (model == "leaky") for name, model in models.items()}

    monkeypatch.setattr(scores, "score_phrases", scored)
    return silent[0]


@pytest.mark.parametrize(
    ("model", "baseline", "word"),
    [
        ("quiet", "leaky", "PASS"),
        ("leaky", "leaky", "FAIL"),
        ("leaky", "quiet", "FAIL"),
        ("quiet", "quiet", "INCONCLUSIVE"),
    ],
)
def test_the_verdict_on_a_model_trained_elsewhere(scored, model, baseline, word):
    found = external.score_model(scored, model, baseline, "before", AuditConfig())
    assert found["verdict"] == word
    assert found["registry"] == store.sha256(scored / canary.REGISTRY)
    assert found["claimed_epsilon"] is None


def test_a_registry_of_other_phrases(scored):
    lines = (scored / canary.REGISTRY).read_text().splitlines(keepends=True)
    (scored / canary.REGISTRY).write_text("".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(AuditError, match="must come from one drawing"):
        external.score_model(scored, "quiet", "leaky", "before", AuditConfig())


def test_a_folder_without_canaries(people):
    with pytest.raises(AuditError, match="not a canary registry"):
        external.score_model(people, "quiet", "leaky", "before", AuditConfig())
    shutil.rmtree(people)
    with pytest.raises(AuditError, match="not a canary registry"):
        external.score_model(people, "quiet", "leaky", "before", AuditConfig())


def test_spread_over_units(people, tmp_path):
    external.make_canaries(tmp_path / "canaries", SMALL.model_copy(update={"placed": "spread"}))
    external.insert_canaries(tmp_path / "canaries", people, tmp_path / "both")
    users = Counter(r["speaker"] for r in records_of(tmp_path / "both"))
    assert set(users.values()) == {1}


def test_the_commitment_is_checked(scored):
    before = external.read_commitment(scored)
    found = external.score_model(scored, "quiet", "leaky", "before", AuditConfig(), published=before.upper() + "\n")
    assert found["commitment"] == before
    with pytest.raises(AuditError, match=f"its commitment is {before}; expected the one that was published, abc"):
        external.score_model(scored, "quiet", "leaky", "before", AuditConfig(), published="abc")


def test_a_drawing_altered_after_training(canaries, tmp_path):
    """Both what was planted and what stays out are bound."""
    shutil.copytree(canaries, tmp_path / "altered")
    assert external.read_commitment(tmp_path / "altered") == external.read_commitment(canaries)
    path = tmp_path / "altered" / canary.REGISTRY
    path.write_text(path.read_text().replace("true", "false", 1))
    with pytest.raises(AuditError, match="altered since the canaries were drawn"):
        external.read_commitment(tmp_path / "altered")


@pytest.fixture(scope="module")
def trained_on(canaries, tmp_path_factory, base):
    """A corpus with canaries in it, and `_survival` of it as a model without pieces for them would have it."""
    folder = tmp_path_factory.mktemp("trained-on")
    people = folder / "people"
    people.mkdir()
    (people / "a.flac").write_bytes(SILENCE)
    (people / "metadata.jsonl").write_text(json.dumps({"path": "a.flac", "sentence": "yes", "speaker": "s"}) + "\n")
    external.insert_canaries(canaries, people, folder / "both")
    return folder / "both"


def survival_of(canaries, corpus_folder, base="tiny-en"):
    registry, phrases = canary.read(canaries)
    return external._survival(registry, phrases, str(corpus_folder), base)


def test_what_was_trained_on_holds_the_canaries(canaries, trained_on, tiny_en):
    found = survival_of(canaries, trained_on)
    assert found.whole == found.planted == sum(c.planted for c in canary.read_registry(canaries))
    assert not found.doubts()


def test_canaries_that_somebody_filtered_out(canaries, trained_on, tiny_en, tmp_path):
    """Of one a recording was dropped, of another the words were changed."""
    shutil.copytree(trained_on, tmp_path / "filtered")
    first, second = [c for c in canary.read_registry(canaries) if c.planted][:2]
    records = [r for r in records_of(trained_on) if r["path"] != f"{first.rows[0]}.flac"]
    records = [{**r, "sentence": "[NAME]"} if r["path"] == f"{second.rows[0]}.flac" else r for r in records]
    (tmp_path / "filtered" / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    found = survival_of(canaries, tmp_path / "filtered")
    assert (found.lost, found.altered, found.whole) == (1, 1, found.planted - 2)


def test_a_corpus_of_other_canaries(canaries, trained_on, tmp_path):
    external.make_canaries(tmp_path / "others", SMALL)
    with pytest.raises(AuditError, match="none of its"):
        survival_of(tmp_path / "others", trained_on)


def test_survival_is_in_the_verdict(scored, monkeypatch, tmp_path):
    lost = survival.Survival(whole=19, lost=1, altered=0, left_out=0, unscored=0, strays=0)
    monkeypatch.setattr(external, "_survival", lambda *_: lost)
    found = external.score_model(scored, "quiet", "leaky", "before", AuditConfig(), corpus="both")
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["reasons"] == lost.doubts()


def test_a_model_with_a_claim_is_held_to_it(scored, tmp_path):
    claim = Claim(
        event="{}", epsilon=8.0, delta=1e-4, mu_gdp=1.6, max_tpr_at_1_percent_fpr=0.25, unit="user", cap_per_unit=4,
        sampling_rate=0.25, noise_multiplier=1.0, clip_norm=1.0, normalisation=100.0, steps=40, units=400,
        composed_epsilon=8.0,
    )  # fmt: skip
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "claim.json").write_text(claim.to_json())
    found = external.score_model(scored, str(tmp_path / "bundle"), "leaky", "before", AuditConfig())
    assert found["claimed_epsilon"] == 8.0


def test_models_of_every_family_are_scored(family_dir, silent_few):
    """As anybody's `save_pretrained` left them: untrained ones know nothing, and say so."""
    registry, phrases = canary.read(silent_few)
    known = scores.score_phrases({"private": str(family_dir)}, str(family_dir), phrases)
    assert known["private"].shape == (len(registry),)
    assert (known["private"] == 0).all()


@pytest.fixture(scope="module")
def silent_few(tmp_path_factory):
    """Four phrases in two seconds of noise."""
    directory = tmp_path_factory.mktemp("few")
    registry = [Canary(f"id{i}", i % 2, planted=False) for i in range(4)]
    flac = audio.encode_flac(np.random.default_rng(0).normal(size=32_000).astype(np.float32) / 9)
    canary.write(registry, (corpus.Row(c.id, c.id, "test", flac, "stop the music", 2.0) for c in registry), directory)
    return directory


def test_the_commands(people, tmp_path, monkeypatch):
    monkeypatch.setattr(configs, "load_canary", lambda settings: told.append(settings) or SMALL)
    told = []
    made = CliRunner().invoke(cli.app, ["canary", "make", str(tmp_path / "c"), "speeds=[1, 2]", "kinds=[digits]"])
    assert made.exit_code == 0, made.output
    assert told == [["candidates=60", "references=2000", "speeds=[1, 2]", "kinds=[digits]"]]
    assert made.stdout.strip() == str(tmp_path / "c" / "planted")
    assert external.read_commitment(tmp_path / "c") in made.stderr
    shown = CliRunner().invoke(cli.app, ["canary", "insert", *map(str, (tmp_path / "c", people, tmp_path / "both"))])
    assert shown.stdout.startswith(f"{len(records_of(tmp_path / 'c' / 'planted'))} canary recordings inserted")
