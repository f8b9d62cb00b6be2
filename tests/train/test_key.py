"""Nothing that a run leaves lets anybody make its noise again: its bytes are searched for every key it derived."""

import base64
import hmac
import json
import sqlite3
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from speechpriv import cli, store
from speechpriv.config import PrivacyConfig, TrainConfig
from speechpriv.train import finetune

STEPS = 3


def spellings(secret):
    """Pieces by which half of a secret would be found: raw, hexadecimal, base64 (wherever it starts), as numbers."""
    for half in (secret[:16], secret[16:]):
        yield half
        yield from (half.hex().encode(), half.hex().upper().encode())
        yield from (base64.b64encode(half[offset : offset + 12]) for offset in range(3))
        yield from (base64.urlsafe_b64encode(half[offset : offset + 12]) for offset in range(3))
        yield ", ".join(map(str, half[:8])).encode()
        yield from (str(int.from_bytes(half, order)).encode() for order in ("big", "little"))


def contents(path):
    """A file's bytes, and those of what is packed in it."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def found_in(directory, secrets):
    """Files below `directory` in which any half of any secret is."""
    needles = {needle for secret in secrets for needle in spellings(secret)}
    return {
        path.name
        for path in directory.rglob("*")
        if path.is_file() and any(needle in content for content in contents(path) for needle in needles)
    }


class Secrets:
    """The key of the noise, and every key derived from it, and from those, while it watches."""

    def __init__(self, monkeypatch):
        self.all, self.messages = set(), []
        digest, secret, derive = hmac.digest, store.read_secret, self._derive

        class Watched(hmac.HMAC):
            def __init__(self, key, *arguments, **options):
                super().__init__(key, *arguments, **options)
                self.key = key

            def digest(self):
                return derive(self.key, b"", super().digest())

        def watched_secret(path):
            made = secret(path)
            if path.name == "noise":
                self.all.add(made)
            return made

        monkeypatch.setattr(hmac, "digest", lambda key, message, name: derive(key, message, digest(key, message, name)))
        monkeypatch.setattr(hmac, "new", Watched)
        monkeypatch.setattr(store, "read_secret", watched_secret)

    def _derive(self, key, message, made):
        if key in self.all:
            self.all.add(made)
            self.messages.append(message)
        return made


@pytest.fixture
def secrets(monkeypatch):
    return Secrets(monkeypatch)


class StoppedError(Exception):
    pass


def stop_at(last):
    def on_step(step, *_):
        if step == last:
            raise StoppedError

    return on_step


def train(base, corpus_dir, directory, key, **options):
    privacy = PrivacyConfig(units=9, epsilon=8, delta=1e-2, cohort=6, steps=STEPS, cap_per_unit=2)
    config = finetune.FinetuneConfig(privacy=privacy, train=TrainConfig(base=str(base), trainable="all"))
    finetune.run(
        config, {"corpus": corpus_dir}, directory / "train", key=key, ledger=directory / "ledger.sqlite",
        checkpoint_every=1, **options,
    )  # fmt: skip


def test_neither_a_checkpoint_nor_what_a_run_leaves_holds_a_key(base, corpus_dir, tmp_path, secrets):
    key = store.read_secret(tmp_path / "keys" / "noise")
    (tmp_path / "run").mkdir()
    with pytest.raises(StoppedError):
        train(base, corpus_dir, tmp_path / "run", key, on_step=stop_at(2))
    assert len(list((tmp_path / "run").rglob("*checkpoint*"))) == 1
    assert found_in(tmp_path / "run", secrets.all) == set()
    train(base, corpus_dir, tmp_path / "run", key)
    assert found_in(tmp_path / "run", secrets.all) == set()
    # They were looked for: the keys of cohort and noise in every step, and the run's, which is found where it is kept.
    for word in (b"cohort", b"noise"):
        assert {word + step.to_bytes(8, "big") for step in range(STEPS)} <= {
            m[: len(word) + 8] for m in secrets.messages
        }
    assert found_in(tmp_path / "keys", secrets.all) == {"noise"}


def in_sqlite(path, value):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (a)")
    database.execute("INSERT INTO t VALUES (?)", (value,))
    database.commit()
    database.close()


def in_zip(path, value):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1000) + value)


PLANTED = {
    "raw": lambda path, key: path.write_bytes(b"x" * 77 + key),
    "half": lambda path, key: path.write_bytes(key[16:]),
    "hexadecimal": lambda path, key: path.write_text(json.dumps({"key": key.hex()})),
    "base64": lambda path, key: path.write_bytes(base64.b64encode(b"x" + key)),
    "numbers": lambda path, key: path.write_text(json.dumps(list(key))),
    "one number": lambda path, key: path.write_text(f"state: {int.from_bytes(key[:16], 'little')}"),
    "zip": in_zip,
    "checkpoint": lambda path, key: torch.save({"a": torch.tensor(list(key), dtype=torch.uint8)}, path),
    "safetensors": lambda path, key: save_file({"a": torch.zeros(2)}, path, metadata={"a": key.hex()}),
    "sqlite bytes": in_sqlite,
    "sqlite text": lambda path, key: in_sqlite(path, key.hex()),
}


@pytest.mark.parametrize("way", PLANTED)
def test_a_planted_key_is_found(tmp_path, way):
    """The control of the search."""
    key, other = bytes(range(100, 132)), bytes(range(32))
    PLANTED[way](tmp_path / "file", key)
    assert found_in(tmp_path, {other, key}) == {"file"}
    assert found_in(tmp_path, {other}) == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_of_a_whole_run_holds_a_key_of_its_noise(tmp_path, secrets):
    small = ["data.demo.units=26", "data.demo.utterances_per_unit=2", "data.test_fraction=0.4", "canary.candidates=40"]
    small += [
        "privacy.units=20",
        "privacy.cohort=10",
        "privacy.steps=2",
        "privacy.delta=0.01",
        "train.baseline_epochs=1",
    ]
    small += ["export.override_reason='a test proves nothing'", "performance.threads=1"]
    shown = CliRunner().invoke(cli.app, ["run", "assistant", *small, "--runs", str(tmp_path)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    run_dir = Path(shown.stdout.strip().splitlines()[-1])
    assert not (run_dir / "private" / "keys" / "noise").exists()
    assert {message[:5] for message in secrets.messages} >= {b"cohor", b"noise"}
    assert found_in(run_dir, secrets.all) == set()
