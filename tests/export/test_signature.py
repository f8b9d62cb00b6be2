import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from speechpriv import store
from speechpriv.errors import ConfigError
from speechpriv.export import signature


@pytest.fixture
def own(tmp_path, monkeypatch):
    """This installation's key, made anew."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return signature.load_signing_key(None)


@pytest.fixture
def bundle(tmp_path, own):
    """A signed directory with one of everything."""
    directory = tmp_path / "release" / "bundle"
    (directory / "deeper").mkdir(parents=True)
    for name in ("model.onnx", "README.md", store.MANIFEST, ".gitignore", "deeper/part"):
        (directory / name).write_text(f"this is {name}")
    signature.sign_bundle(directory, own)
    return directory


def _pem(key, *, private: bool = True) -> bytes:
    if not private:
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _problems(bundle):
    return signature.find_changes(bundle, signature.own_public_key())


def test_what_was_signed_is_whole_wherever_it_lies(bundle, tmp_path):
    assert _problems(bundle) == []
    shutil.move(bundle, tmp_path / "elsewhere")
    assert _problems(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("name", ["model.onnx", "README.md", "manifest.json", ".gitignore", "deeper/part"])
def test_every_file_that_is_changed_or_missing_is_named(bundle, name):
    (bundle / name).write_text("this is another")
    assert _problems(bundle) == [f"{name}: changed"]
    (bundle / name).unlink()
    assert _problems(bundle) == [f"{name}: missing"]


@pytest.mark.parametrize("name", ["code.py", ".gitattributes", ".git/config", "deeper/model.sig"])
def test_a_file_that_was_added_is_named(bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("new")
    (bundle / "README.md").unlink()
    assert _problems(bundle) == sorted([f"{name}: added", "README.md: missing"])


def test_a_link_counts_as_what_it_leads_to(bundle, tmp_path):
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to("model.onnx")
    assert _problems(bundle) == ["README.md: changed"]
    for nowhere in (tmp_path, tmp_path / "nowhere"):
        (bundle / "README.md").unlink()
        (bundle / "README.md").symlink_to(nowhere)
        assert _problems(bundle) == ["README.md: a link to no file, which nobody can sign"]


def test_a_link_to_a_bundle_is_that_bundle(bundle, tmp_path):
    (tmp_path / "latest").symlink_to(bundle)
    assert _problems(tmp_path / "latest") == []
    (bundle / "model.onnx").write_text("this is another")
    assert _problems(tmp_path / "latest") == ["model.onnx: changed"]


def test_the_hubs_cache_of_a_bundle_is_that_bundle(bundle, tmp_path):
    """There each file is a link to a blob that is named by its digest."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "f00d"
    blobs.mkdir()
    for file in [path for path in bundle.rglob("*") if path.is_file()]:
        blob, link = blobs / store.sha256(file), snapshot / file.relative_to(bundle)
        shutil.copyfile(file, blob)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    assert _problems(snapshot) == []
    (snapshot / "model.onnx").resolve().write_text("this is another")
    assert _problems(snapshot) == ["model.onnx: changed"]


def test_a_bundle_that_is_not_there_is_an_error(tmp_path, own):
    with pytest.raises(ConfigError, match="no such directory"):
        signature.find_changes(tmp_path / "nowhere", signature.own_public_key())


def test_a_bundle_without_a_signature_does_not_pass(bundle):
    (bundle / store.SIGNATURE).unlink()
    assert _problems(bundle) == ["model.sig: missing; the bundle is not signed"]


def test_another_hands_signature_does_not_pass(bundle, tmp_path):
    mallory = tmp_path / "mallory.pem"
    mallory.write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    (bundle / "model.onnx").write_text("poisoned")
    beside = bundle.parent / signature.PUBLIC_KEY
    before = signature.fingerprint_key(beside)
    signature.sign_bundle(bundle, mallory)  # bundle and key beside it, both replaced
    assert signature.find_changes(bundle, beside) == []
    assert signature.fingerprint_key(beside) != before  # which is why the fingerprint must come from elsewhere
    (problem,) = _problems(bundle)
    assert problem.startswith("model.sig: not made with this key")


@pytest.mark.parametrize("change", ["payload", "signature", "truncated", "empty", "list", "null"])
def test_a_damaged_signature_does_not_pass(bundle, change):
    path = bundle / store.SIGNATURE
    text = path.read_text()
    found = json.loads(text)
    envelope = found["dsseEnvelope"]
    envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA=" if change == "payload" else envelope["payload"]
    if change == "signature":
        envelope["signatures"][0]["sig"] = "AAAA"
    changed = {"truncated": text[: len(text) // 2], "empty": "", "list": "[]", "null": "null"}
    path.write_text(changed.get(change, json.dumps(found)))
    (problem,) = _problems(bundle)
    assert problem.startswith("model.sig: not made with this key, or damaged")


def test_the_key_is_its_owners_alone_and_kept(own, bundle):
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert signature.load_signing_key(None) == own
    assert (
        _pem(serialization.load_pem_private_key(own.read_bytes(), None).public_key(), private=False)
        == (bundle.parent / signature.PUBLIC_KEY).read_bytes()
    )
    assert stat.S_IMODE((bundle / store.SIGNATURE).stat().st_mode) == 0o644


def test_signing_again_changes_nothing_unless_something_changed(bundle, own):
    before = (bundle / store.SIGNATURE).read_bytes()
    signature.sign_bundle(bundle, own)
    assert (bundle / store.SIGNATURE).read_bytes() == before
    (bundle / "README.md").write_text("a better card")
    signature.sign_bundle(bundle, own)
    assert _problems(bundle) == []


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_key_of_ones_own_may_be_named(tmp_path, bundle, curve):
    path = tmp_path / "mine.pem"
    path.write_bytes(_pem(ec.generate_private_key(curve)))
    fingerprint = signature.sign_bundle(bundle, signature.load_signing_key(str(path)))
    beside = bundle.parent / signature.PUBLIC_KEY
    assert signature.find_changes(bundle, beside) == []
    assert fingerprint == signature.fingerprint_key(beside)
    assert len(fingerprint) == len("SHA256:") + 64


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no key", _pem(ed25519.Ed25519PrivateKey.generate()), _pem(ec.generate_private_key(ec.SECP256K1()))],
)
def test_a_key_that_cannot_sign_is_refused_before_anything_is_spent(tmp_path, content):
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"export\.signing_key"):
        signature.load_signing_key(str(path))


def test_a_public_key_that_is_none_is_an_error(bundle, tmp_path):
    with pytest.raises(ConfigError, match="no public key"):
        signature.find_changes(bundle, tmp_path / "nowhere.pub")
    bad = tmp_path / "bad.pub"
    bad.write_bytes(_pem(ed25519.Ed25519PrivateKey.generate().public_key(), private=False))
    with pytest.raises(ConfigError, match="elliptic"):
        signature.find_changes(bundle, bad)


def test_without_a_key_of_ones_own_one_must_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing-here"))
    with pytest.raises(ConfigError, match="--public-key"):
        signature.own_public_key()


def test_the_librarys_own_program_agrees(bundle):
    """What anybody can run who has never heard of speechpriv."""
    beside = bundle.parent / signature.PUBLIC_KEY
    arguments = [
        "verify", "key", str(bundle), "--signature", str(bundle / store.SIGNATURE), "--public_key", str(beside),
        "--ignore-paths", str(bundle / store.SIGNATURE), "--no-ignore-git-paths",
    ]  # fmt: skip
    command = [sys.executable, "-m", "model_signing", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    assert subprocess.run(command, capture_output=True, check=False, env=environment).returncode == 0
    (bundle / "model.onnx").write_text("poisoned")
    assert subprocess.run(command, capture_output=True, check=False, env=environment).returncode != 0
