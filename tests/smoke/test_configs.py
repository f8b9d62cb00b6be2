"""Every packaged config runs, made small; nothing that is packaged is left out."""

import json
import runpy
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speechpriv import audio, cli, config, corpus, packaged, store
from speechpriv.audit.attacks import scores
from speechpriv.audit.canaries import personal
from speechpriv.data import voices
from speechpriv.errors import SpeechprivError

pytestmark = pytest.mark.timeout(900)  # whole pipelines, on a machine that may be busy
SMALL_PRIVACY = (
    "privacy.units=20",
    "privacy.cohort=10",
    "privacy.steps=2",
    "privacy.delta=0.01",
    "train.baseline_epochs=1",
    "train.synthetic_steps=2",
)
CANARIES = ("canary.candidates=40", "canary.references=1000")
THREADS = "performance.threads=1"  # the tests share their machine
OVERRIDE = "export.override_reason='a smoke test proves nothing'"


def run(runs: Path, *arguments: str) -> Path:
    shown = CliRunner().invoke(cli.app, [*arguments, THREADS, "--runs", str(runs)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return Path(shown.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A whole small run of the assistant recipe, and the arguments that made it."""
    runs = tmp_path_factory.mktemp("runs")
    small = (
        "data.demo.units=26",
        "data.demo.utterances_per_unit=2",
        "data.test_fraction=0.4",
        *CANARIES,
        *SMALL_PRIVACY,
        "export.phrases=shipped",  # nothing is said by enough of so few
        OVERRIDE,
    )
    arguments = ("run", "assistant", *small)
    return run(runs, *arguments), arguments


def test_the_glob_knows_every_config() -> None:
    assert {path.stem for path in packaged.list_packaged() if path.suffix == ".yaml"} == {
        "assistant", "clinic", "clinic_risk", "commands", "tiny-en",
    }  # fmt: skip


def test_assistant_leaves_a_bundle_and_a_report(demo: tuple[Path, tuple[str, ...]]) -> None:
    release = demo[0] / "release"
    assert {"model.onnx", "tokens.txt", "model.safetensors", "README.md", "claim.json", "audit.json"} <= {
        path.name for path in (release / "bundle").iterdir()
    }
    assert "epsilon" in (release / "report.html").read_text()
    assert not store.verify(release / "bundle")
    assert CliRunner().invoke(cli.app, ["verify", str(release / "bundle")]).exit_code == 0
    assert (release / "signing-key.pub").is_file()


def test_the_audit_knows_what_survived(demo: tuple[Path, tuple[str, ...]]) -> None:
    private = demo[0] / "private"
    found = json.loads((private / "audit" / "verdict.json").read_text())["survival"]
    assert found == json.loads((private / "survival" / "survival.json").read_text())
    assert found["whole"] == store.require_stage(private / "plant")["counts"]["planted"]
    assert not any(found[name] for name in ("lost", "altered", "left_out", "unscored", "strays"))
    # Personal phrases went through the scrubber, which left nothing, and none is trained on or taken in.
    assert set(found["personal"].values()) == {5}
    assert set(found["missed"].values()) == {0}
    ids = {probe.id for probe in personal.read(private / "personal")}
    assert len(ids) == 25
    for name, rest in (("personal/corpus", 25), ("plant/corpus", 0), ("ingest", 0)):
        assert len(ids & set(corpus.read(private / name).table["id"][:])) == rest


def test_assistant_twice_does_nothing_again(demo: tuple[Path, tuple[str, ...]]) -> None:
    run_dir, arguments = demo
    before = {path: path.stat().st_mtime_ns for path in (run_dir / "private").rglob(store.MANIFEST)}
    shown = CliRunner().invoke(cli.app, [*arguments, THREADS, "--runs", str(run_dir.parent)])
    assert shown.stdout.strip() == str(run_dir)
    told = shown.stderr.splitlines()[-11:]
    assert [line.split()[0] for line in told] == [
        "rows", "ingest", "personal", "scrub", "anonymize", "plant", "baseline", "train", "evaluate", "survival",
        "attackers",
    ]  # fmt: skip
    assert not any("not accounted for" in line for line in told)
    assert before == {path: path.stat().st_mtime_ns for path in (run_dir / "private").rglob(store.MANIFEST)}


def test_nothing_private_is_readable_by_others(demo: tuple[Path, tuple[str, ...]]) -> None:
    private = demo[0] / "private"
    assert private.stat().st_mode & 0o077 == 0
    keys = sorted(path.name for path in (private / "keys").iterdir())
    assert keys == ["ids"]  # those that could strip the noise or the disguise are destroyed
    assert (private / "keys" / "ids").stat().st_mode & 0o077 == 0


def test_no_transcript_or_source_name_is_released(demo: tuple[Path, tuple[str, ...]]) -> None:
    run_dir = demo[0]
    texts = {row.text.lower() for row in corpus.read(run_dir / "private" / "plant" / "phrases").rows()}
    for path in (run_dir / "release").rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            assert str(run_dir.parent).encode() not in content
            assert not [text for text in texts if text.encode() in content]


def test_the_audit_command_repeats_the_verdict(demo: tuple[Path, tuple[str, ...]]) -> None:
    shown = CliRunner().invoke(cli.app, ["audit", str(demo[0])])
    found = json.loads(shown.stdout)
    assert found["verdict"] in {"PASS", "FAIL", "INCONCLUSIVE"}
    assert shown.exit_code == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}[found["verdict"]]
    of_bundle = CliRunner().invoke(cli.app, ["audit", str(demo[0]), "--artefact", str(demo[0] / "release" / "bundle")])
    assert json.loads(of_bundle.stdout)["private"] == found["private"]


def test_no_number_of_training_people_is_released(demo: tuple[Path, tuple[str, ...]]) -> None:
    """As tests/contracts/test_release.py, with what the stages really write; four digits are no chance."""
    figures = runpy.run_path(str(Path(__file__).parents[1] / "training_figures.py"))
    CliRunner().invoke(cli.app, ["report", str(demo[0])])
    numbers = figures["of_training_people"](demo[0] / "private")
    assert sum(len(figures["spellings"](one, 4)) > 0 for many in numbers.values() for one in many) > 30
    assert figures["found_in"](demo[0] / "release", numbers, 4) == []
    assert figures["found_in"](demo[0] / "private", numbers, 4)


def test_weights_that_are_swapped_after_the_audit_get_no_verdict(
    demo: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    """The bundle's manifest is as it was, so the stage would take the verdict that is there for its own."""
    run_dir = tmp_path / "run"
    shutil.copytree(demo[0], run_dir)
    bundle = run_dir / "release" / "bundle"
    weights = run_dir / "private" / "train" / "model" / "model.safetensors"
    others = run_dir / "private" / "baseline" / "model" / "model.safetensors"

    def refused(*arguments: str) -> bool:
        shown = CliRunner().invoke(cli.app, ["audit", str(run_dir), *arguments])
        return isinstance(shown.exception, SpeechprivError)

    artefact = ("--artefact", str(bundle))
    assert not refused(*artefact)
    shutil.copy(others, bundle)
    assert refused(*artefact)
    shutil.copy(weights, bundle)
    assert not refused(*artefact)
    assert not refused()
    shutil.copy(others, weights)
    assert refused()


def test_a_bundle_is_scored_as_the_model_in_it(demo: tuple[Path, tuple[str, ...]]) -> None:
    """As `canary score` does for what was trained elsewhere."""
    phrases = corpus.read(demo[0] / "private" / "plant" / "phrases")
    few = corpus.Corpus(phrases.table.select(range(8)), phrases.lineage)
    models = {"bundle": demo[0] / "release" / "bundle", "model": demo[0] / "private" / "train" / "model"}
    found = scores.score_phrases({name: str(path) for name, path in models.items()}, "tiny-en", few)
    assert found["bundle"] == pytest.approx(found["model"], abs=1e-6)
    assert found["bundle"].any()


def test_the_bundle_transcribes_files(demo: tuple[Path, tuple[str, ...]], tmp_path: Path) -> None:
    spoken = tmp_path / "yes.flac"
    spoken.write_bytes(audio.encode_flac(voices.speak("turn on the lights", voices.Voice()).samples))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    bundle = str(demo[0] / "release" / "bundle")
    missing = tmp_path / "nowhere.wav"
    shown = CliRunner().invoke(cli.app, ["transcribe", bundle, str(spoken), str(broken), str(missing)])
    assert "no such file" in shown.stderr
    assert shown.stdout.startswith(f"{spoken}\t")
    assert len(shown.stdout.splitlines()) == 1
    assert shown.exit_code != 0  # the broken file is reported, the other one is transcribed all the same


def test_the_budget_command_prices_the_run(demo: tuple[Path, tuple[str, ...]]) -> None:
    shown = CliRunner().invoke(cli.app, ["budget", str(demo[0])])
    assert shown.exit_code == 0
    assert "all together: epsilon" in shown.output


def test_a_curve_is_drawn_once_and_more_seeds_are_added(demo: tuple[Path, tuple[str, ...]]) -> None:
    run_dir, (_, *arguments) = demo
    prepared = store.require_stage(run_dir / "private" / "plant")
    shapes = ("curve", *arguments, "--epsilons", "4,inf")
    assert run(run_dir.parent, *shapes, "--seeds", "1") == run_dir / "release" / "curve.svg"
    kept = {path: path.stat().st_mtime_ns for path in (run_dir / "private" / "curve").iterdir()}
    assert sorted(path.name for path in kept) == [
        "epsilon-0-seed-0.json", "epsilon-4-seed-0.json", "epsilon-inf-seed-0.json",
    ]  # fmt: skip
    run(run_dir.parent, *shapes, "--seeds", "2")
    assert len(list((run_dir / "private" / "curve").iterdir())) == 5
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert (run_dir / "release" / "curve.csv").read_text().count("\n") == 4
    # What was prepared and spent is as it was: the curve is no run of the ledger.
    assert store.require_stage(run_dir / "private" / "plant") == prepared
    spent = CliRunner().invoke(cli.app, ["budget", str(run_dir)])
    assert "all together: epsilon 8" in " ".join(spent.output.split())


def test_clinic_is_prepared(tmp_path: Path) -> None:
    small = ("data.clinic.patients=24", "data.clinic.dictations_per_patient=1", "data.clinic.doctors=4")
    run_dir = run(tmp_path / "runs", "prepare", "clinic", *small, "data.test_fraction=0.4")
    raw, clean = (corpus.read(run_dir / "private" / name) for name in ("ingest", "anonymize"))
    assert set(raw.units("train")) | set(raw.units("test"))
    assert len(raw) == 24
    assert not set(clean.units("train")) & set(clean.units("test"))


def test_clinic_risk_leaves_a_bundle_a_report_and_a_curve(tmp_path: Path) -> None:
    small = (
        "data.risk.patients=30", "data.risk.recordings_per_patient=1", "data.test_fraction=0.4", *CANARIES,
        *(setting for setting in SMALL_PRIVACY if "synthetic" not in setting), OVERRIDE,
    )  # fmt: skip
    run_dir = run(tmp_path / "runs", "run", "clinic_risk", *small)
    release = run_dir / "release"
    assert {"model.onnx", "labels.txt", "model.safetensors", "claim.json", "audit.json"} <= {
        path.name for path in (release / "bundle").iterdir()
    }
    verdict = json.loads((run_dir / "private" / "audit" / "verdict.json").read_text())
    assert verdict["unit"] == "patient"
    assert verdict["extraction"] == {}
    figures = json.loads((run_dir / "private" / "evaluate" / "figures.json").read_text())
    assert figures["base"]["auroc"] == 0.5  # it has learned nothing yet
    page = (release / "report.html").read_text()
    assert "AUROC" in page
    assert "Calibration" in page
    shapes = ("curve", "clinic_risk", *small, "--epsilons", "4,inf", "--seeds", "1")
    drawn = run(tmp_path / "runs", *shapes)
    assert "AUROC" in drawn.read_text()
    assert (run_dir / "release" / "curve.csv").read_text().count("\n") == 4


def test_commands_takes_a_folder_of_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recordings"
    folder.mkdir()
    names = voices.list_variants()
    with (folder / "metadata.jsonl").open("w") as metadata:
        for index in range(24):
            spoken = voices.speak(["yes", "stop now"][index % 2], voices.Voice(variant=names[index]))
            (folder / f"{index}.flac").write_bytes(audio.encode_flac(spoken.samples))
            record = {"file_name": f"{index}.flac", "text": ["yes", "stop now"][index % 2], "user": f"u{index}"}
            metadata.write(json.dumps(record) + "\n")
    run_dir = run(tmp_path / "runs", "prepare", "commands", f"data.path={folder}", "data.test_fraction=0.5")
    clean = corpus.read(run_dir / "private" / "anonymize")
    assert len(clean) >= 20
    assert not set(clean.units("train")) & set(clean.units("test"))


def test_pretraining_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    main = packaged.load_recipe(packaged.find_packaged("pretrain.py"))
    small = ("pieces=60", "hidden=16", "layers=1", "channels=4", "batch_s=6", "checkpoint_every=1")
    for steps in (1, 2):
        main(config.load(packaged.find_packaged("tiny-en.yaml"), [*small, f"steps={steps}"]), tmp_path)
    log = [json.loads(line) for line in (tmp_path / "release" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]
    assert (tmp_path / "release" / "tiny-en" / "model.safetensors").is_file()
