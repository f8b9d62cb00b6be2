"""Every stage that can drop rows is made to, and what the report shows adds up."""

import json

import numpy as np
import pytest

from speechpriv import audio
from speechpriv import corpus as corpora
from speechpriv.anonymize import parallel
from speechpriv.anonymize import rows as rows_at_once
from speechpriv.anonymize import stage as anonymize
from speechpriv.audit.canaries import canary, personal, survival
from speechpriv.audit.voices import attackers
from speechpriv.config import CanaryConfig, PerformanceConfig, TrainConfig
from speechpriv.data import ingest, sources, voices
from speechpriv.report import facts, losses
from speechpriv.scrub import clean
from speechpriv.sections import AnonymizeConfig, AttackersConfig, DataConfig, ScrubConfig
from speechpriv.train import baseline

pytestmark = pytest.mark.timeout(900)
KEY = bytes(range(32))
FIRST = "the first"
DIES = ("__import__('os')._exit(11)",)
# The small base spells it letter by letter, and has fewer frames than letters; the aligner has enough.
SAID, TOO_MUCH_FOR_THE_BASE = "turn on the lights", "what will we do with all the little apples"


@pytest.fixture
def folder(tmp_path):
    """Twelve people who say two things each, quick ones that the small base cannot learn, and two silent files."""
    path = tmp_path / "recordings"
    path.mkdir()
    with (path / "metadata.jsonl").open("w") as metadata:
        for index in range(26):
            voice = voices.Voice(variant=f"{'mf'[index % 2]}{1 + index % 4}", pitch=30 + index, rate_wpm=150)
            words = TOO_MUCH_FOR_THE_BASE if index % 4 == 1 else SAID
            samples = np.zeros(16_000, np.float32) if index >= 24 else voices.speak(words, voice).samples
            (path / f"{index}.flac").write_bytes(audio.encode_flac(samples))
            record = {"file_name": f"{index}.flac", "text": words, "user": f"u{index % 12}"}
            metadata.write(json.dumps(record) + "\n")
    return path


@pytest.fixture
def killing(monkeypatch):
    """Names of rows that kill the process that disguises them; FIRST is the first that is disguised at all."""
    deadly, real = set(), parallel.map_in_order

    def ordered(function, calls, *rest, **more):
        def told():
            for row, args, _ in calls:
                kills = row.id in deadly or (args and FIRST in deadly)
                deadly.discard(FIRST if args else None)
                yield row, args and (DIES if kills else (repr((row.flac, len(row.samples()))),)), 60

        return real(eval, told(), *rest, **more)

    monkeypatch.setattr(parallel, "map_in_order", ordered)
    return deadly


def test_what_every_stage_drops_adds_up(folder, killing, base, tmp_path, tiny_en):
    private = tmp_path / "run" / "private"
    data = DataConfig(source="folder", path=str(folder), test_fraction=0.3)
    raw = ingest.run(ingest.IngestConfig(data=data, seed=1), sources.list_inputs(data), private / "ingest", key=KEY)
    few = {"candidates": 4, "references": 4}  # than would do for an audit
    planting = CanaryConfig(personal=1, repeats=(1,)).model_copy(update=few)
    probed = personal.run(planting, {"corpus": raw.directory}, private / "personal", key=KEY)
    strict = ScrubConfig(min_word_confidence=1.0)  # whatever is found is dropped: all of the personal phrases
    scrubbed = clean.run(
        clean.CleanConfig(scrub=strict), {"corpus": probed.directory / "corpus"}, private / "scrub", key=KEY
    )
    killing.add(next(row.id for row in corpora.read(scrubbed.directory).rows("train") if row.text == SAID))
    config = AnonymizeConfig(method="mcadams")
    disguised = anonymize.run(config, {"corpus": scrubbed.directory}, private / "anonymize", key=KEY)
    planted = canary.run(
        planting, {"corpus": disguised.directory, "personal": probed.directory}, private / "plant", key=KEY
    )
    training = {"corpus": planted.directory / "corpus"}
    survival.run(
        survival.SurvivalConfig(base=str(base)), {"plant": planted.directory, **training}, private / "survival"
    )
    learning = baseline.BaselineConfig(train=TrainConfig(base=str(base), baseline_epochs=1), seed=1)
    baseline.run(learning, training, private / "baseline")
    killing.add(FIRST)
    attackers.run(
        attackers.StageConfig(attackers=AttackersConfig(), anonymize=config),
        {"before": scrubbed.directory, "after": disguised.directory},
        private / "attackers",
        disguise=rows_at_once.make_imitation(config, PerformanceConfig()),
    )
    found = {one.stage: one for one in losses.list_steps(facts.read_facts(tmp_path / "run"))}
    assert list(found) == ["ingest", "personal", "scrub", "anonymize", "plant", "baseline", "survival", "attackers"]
    assert not any(one.unexplained for one in found.values())
    assert found["ingest"].dropped == {"silent": 2}
    assert sum(found["scrub"].dropped.values()) >= 5
    assert found["anonymize"].dropped == {"failed": 1}
    assert found["baseline"].dropped["not alignable"] >= 1
    assert found["survival"].rows_in == found["survival"].rows_out + sum(found["survival"].dropped.values())
    assert found["attackers"].dropped == {"failed": 1}
    table = corpora.read(planted.directory / "corpus").table
    assert found["baseline"].rows_in == len(table)
    assert found["baseline"].rows_out == table["split"][:].count("train") - found["baseline"].dropped["not alignable"]
