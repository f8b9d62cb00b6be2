"""Signature over every file of a bundle, made and checked offline with OpenSSF's model signing
(ECDSA, P-256).

It tells that the files are as whoever holds the key left them. It tells nothing about who that is:
a public key from beside the bundle proves no more than that bundle and key came from the same hand.
So `verify` wants the key named, and takes none that it finds.
"""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying

from speechpriv import store
from speechpriv.errors import ConfigError

PUBLIC_KEY = "signing-key.pub"  # beside a bundle, for those who know its fingerprint from elsewhere
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def own_key() -> Path:
    """Return where this installation's private key is, or will be: in the user's configuration
    folder.
    """
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "speechpriv" / "signing-key.pem"


def load_signing_key(configured: str | None) -> Path:
    """Load the private key to sign with, which is there and can be used; asked for before anything
    is spent.

    Args:
      configured: a PEM file with an elliptic curve key without a password (P-256, P-384, P-521);
        None: this installation's own, made now (mode 0600) if there is none.

    Raises:
      ConfigError: it cannot be read, or is no such key.
      StageError: none can be made.
    """
    path = Path(configured) if configured else own_key()
    if configured is None and not path.exists():
        _make(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"export.signing_key: no private key could be read ({type(error).__name__}); expected a PEM file without a "
            "password, as `openssl ecparam -name prime256v1 -genkey -noout` makes it."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, _CURVES):
        raise ConfigError("export.signing_key: expected an elliptic curve key (P-256, P-384 or P-521).")
    return path


def sign_bundle(directory: Path, private_key: Path) -> str:
    """Sign all files of a finished bundle, and put the public key beside it.

    Args:
      directory: nothing in it may change afterwards. A signature by this key that still holds is
        kept.
      private_key: from `load_signing_key`.

    Returns:
      The public key's fingerprint.
    """
    key: Any = serialization.load_pem_private_key(private_key.read_bytes(), None)
    beside = directory.parent / PUBLIC_KEY
    with store.explain_write_errors(beside):
        beside.write_bytes(_pem(key.public_key()))
        if find_changes(directory, beside):
            path = directory / store.SIGNATURE
            config = signing.Config().use_elliptic_key_signer(private_key=private_key)
            config.set_hashing_config(_hashing()).sign(directory, path)
            path.chmod(0o644)
    return fingerprint_key(beside)


def find_changes(directory: Path, public_key: Path) -> list[str]:
    """Find what differs from what was signed, each with the file's name; empty if nothing does.

    Args:
      directory: a bundle, or a link to one; its files may be links to files, as in the hub's cache:
        what counts is what they hold.
      public_key: PEM, from whoever is trusted to have signed it.

    Raises:
      ConfigError: the public key cannot be used, or there is no such directory.
    """
    directory = directory.resolve()
    path = directory / store.SIGNATURE
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory; expected a bundle.")
    fingerprint_key(public_key)
    if links := sorted(link for link in directory.rglob("*") if link.is_symlink() and not link.is_file()):
        return [f"{link.relative_to(directory)}: a link to no file, which nobody can sign" for link in links]
    if not path.is_file():
        return [f"{store.SIGNATURE}: missing; the bundle is not signed"]
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(_hashing())
    try:
        verifier.verify(directory, path)
    except Exception as error:  # noqa: BLE001  the library parses a file that anybody may have written
        return _said(directory, path, error)
    return []


def fingerprint_key(public_key: Path) -> str:
    """Return `SHA256:` and the hex digest of a public key, to be compared with what its owner says.

    Raises:
      ConfigError: it cannot be read, or is no public key.
    """
    try:
        key = serialization.load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{public_key}: no public key could be read ({type(error).__name__}); expected a PEM file."
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise ConfigError(f"{public_key}: expected an elliptic curve key (P-256, P-384 or P-521).")
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{hashlib.sha256(encoded).hexdigest()}"


def own_public_key() -> Path:
    """Return the public half of this installation's key, to check what was signed here.

    Raises:
      ConfigError: nothing was signed here yet.
    """
    path = own_key().with_suffix(".pub")
    if not path.is_file():
        raise ConfigError(
            "Nothing was signed on this machine, so there is no key to check a bundle with. Give the publisher's: "
            "--public-key KEY. A key from beside the bundle proves only that both came from the same hand, so compare "
            "its fingerprint with what the publisher says."
        )
    return path


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _make(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with store.explain_write_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.with_suffix(".pub").write_bytes(_pem(key.public_key()))
        descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        path.with_suffix(".new").replace(path)


def _hashing() -> hashing.Config:
    """Every file counts but the signature itself: by default the library passes over those of git."""
    ignored = hashing.Config().set_ignored_paths(paths=[store.SIGNATURE], ignore_git_paths=False)
    return ignored.set_allow_symlinks(True)


def _said(directory: Path, path: Path, error: Exception) -> list[str]:
    """What the library found, by file; it names files only in the text of a message."""
    if not str(error).startswith("Signature mismatch"):
        return [f"{store.SIGNATURE}: not made with this key, or damaged ({type(error).__name__})"]
    # The library compares files only once the signature itself has been found good, so what it
    # covers can be read.
    envelope = json.loads(path.read_text(encoding="utf-8"))["dsseEnvelope"]
    resources = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["resources"]
    signed = {resource["name"]: resource["digest"] for resource in resources}
    found = {one.identifier: one.digest.digest_hex for one in _hashing().hash(directory).resource_descriptors()}
    changed = [f"{name}: changed" for name in signed.keys() & found.keys() if signed[name] != found[name]]
    gone = [f"{name}: missing" for name in signed.keys() - found.keys()]
    return sorted([*changed, *gone, *(f"{name}: added" for name in found.keys() - signed.keys())])
