"""Weights that others publish, by name: from a mirror, from the cache, or fetched once. Needs no torch."""

import os
from pathlib import Path

from operators.models.download import download, sha256_of
from schemas.embedded import MODELS
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, ModelFile


def model_file(name: str) -> Path:
    """The path of the file `name` of the registry (schemas/model_files.py), checked to be the published one.

    With LATENTREEL_MODELS set, from that folder alone, and nothing is ever fetched; else from the cache, into which it
    is fetched at its first use. Two processes that ask at once fetch it once.
    Raises: WrongUse when the file is absent from the mirror, cannot be fetched, or is another one than was published.
    """
    file = MODEL_FILES[name]
    folder = os.environ.get(MODELS)
    path = Path(folder) / name if folder else cache_folder() / name
    if path.is_file():
        _require_published(path, file)
        return path
    if folder:
        raise WrongUse(f"{name} is not in {MODELS}={folder}; put it there ({file.url}), or unset {MODELS} to fetch it")
    download(file, path)
    return path


def cache_folder() -> Path:
    """Where fetched files are kept, each beside its lock, and what has come so far of the others (.part)."""
    # An empty XDG_CACHE_HOME counts as unset: XDG Base Directory Specification 0.8.
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "latentreel" / "models"


def _require_published(path: Path, file: ModelFile) -> None:
    """At every use, not only after fetching: weights of another network of the same name load and find nonsense."""
    found = sha256_of(path)
    if not found.startswith(file.sha256):
        raise WrongUse(
            f"{path}: its sha256 begins with {found[:10]}, that of the published file with {file.sha256[:10]}; "
            f"remove it, and fetch {file.url}"
        )
