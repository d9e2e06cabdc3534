"""Weights that others publish, by name: from a mirror, from the cache, or fetched once. Needs no torch."""

import logging
import os
from pathlib import Path

from operators.models.download import Progress, download
from operators.models.published import difference, record, record_of, warnings_of
from schemas.embedded import MODELS, weights_path
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES, ModelFile, ModelKind, find_model


def weights_file(name: str, *, kind: ModelKind) -> str:
    """The path of weights that a user named: shipped, of the registry (fetched at its first use), or a path already.

    Raises: WrongUse where the registry knows the name as something else; as model_file.
    """
    if (file := meant_by(name)) is None:
        return weights_path(name)
    if file.kind != kind:
        raise WrongUse(f"{kind} {name}: the registry has it as {file.kind}: {file.use}; see `latentreel models list`")
    return str(model_file(file.name))


def meant_by(name: str) -> ModelFile | None:
    """The registry's entry that is meant by `name`, if any: a short name, or a file's where no such file is here."""
    file = find_model(name)
    return None if file is not None and name != file.short and Path(name).is_file() else file


def model_file(name: str) -> Path:
    """The path of the file `name` of the registry (schemas/model_registry.yaml), checked to be the published one.

    With LATENTREEL_MODELS set, from that folder alone, and nothing is ever fetched; else from the cache, into which it
    is fetched at its first use. Processes of one machine that ask at once fetch it once. What a user has to know of
    the file is logged when it is fetched.
    Raises: WrongUse when the file is absent from the mirror, cannot be fetched, or is another one than was published.
    """
    file = MODEL_FILES[name]
    was_here = place_of(file).is_file()
    path = obtain(file)
    if not was_here:
        for warning in warnings_of(file):
            logging.getLogger(__name__).warning("%s", warning)
    return path


def obtain(file: ModelFile, progress: Progress | None = None) -> Path:
    """As `model_file`, without a word. Takes: `progress`, told how many bytes there are, and of how many."""
    path = place_of(file)
    if path.is_file():
        if (why := difference(path, file, path)) is not None:
            raise WrongUse(f"{path}: {why}; remove it{_and_record(file, path)}, and fetch {file.origin}")
        record(path, file, path)
        return path
    if folder := os.environ.get(MODELS):
        raise WrongUse(
            f"{file.name} is not in {MODELS}={folder}; put it there ({file.origin}), or unset {MODELS} to fetch it"
        )
    if not file.url:
        raise WrongUse(f"{file.name}: it has no address of its own; fetch it {file.origin}, put it into {MODELS}")
    download(file, path, progress)
    return path


def place_of(file: ModelFile) -> Path:
    """Where the file lies on this machine, or would: in the mirror if there is one, else in the cache."""
    folder = os.environ.get(MODELS)
    return (Path(folder) if folder else cache_folder()) / file.name


def cache_folder() -> Path:
    """Where fetched files are kept, each beside its lock, and what has come so far of the others (.part)."""
    # An empty XDG_CACHE_HOME counts as unset: XDG Base Directory Specification 0.8.
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "latentreel" / "models"


def _and_record(file: ModelFile, path: Path) -> str:
    kept = record_of(path)
    return "" if file.told_by_sum or not kept.exists() else f" and, if you trust the new one, {kept.name}"
