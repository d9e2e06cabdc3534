"""Pickles that ask for code: refused in one line that names what they ask for, and none of it has run."""

import builtins
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from operators.stylegan.checkpoint import load_generator
from operators.stylegan.checkpoints import inert
from operators.stylegan.checkpoints.safe_unpickler import read_pickle
from operators.stylegan.describe import describe_generator
from schemas.errors import WrongUse
from tests.reference.checkpoint_files import write_rosinality
from tests.reference.golden_files import read_golden


class _Calls:
    """Pickled as a call of something."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called, self.arguments


def _system(marker: Path) -> _Calls:
    import os

    return _Calls(os.system, f"touch '{marker}'")


def _in_a_snapshot(marker: Path) -> bytes:
    return pickle.dumps({"G": None, "G_ema": _system(marker)})


def _exec(marker: Path) -> bytes:
    return pickle.dumps(_Calls(builtins.exec, f"open({str(marker)!r}, 'w')"))


def _getattr(marker: Path) -> bytes:
    return pickle.dumps(_Calls(getattr, marker, "touch"))


def _old_global(marker: Path) -> bytes:
    """The instructions of protocol 0, which name things as text."""
    return b"\x80\x02cposix\nsystem\n(X" + _text(f"touch '{marker}'") + b"tR."


def _instance(marker: Path) -> bytes:
    return b"\x80\x02(X" + _text(f"touch '{marker}'") + b"iposix\nsystem\n."


def _object(marker: Path) -> bytes:
    return b"\x80\x02(cposix\nsystem\nX" + _text(f"touch '{marker}'") + b"o."


def _dotted(marker: Path) -> bytes:
    """A name that leads on from one that is known, as protocol 4 allows."""
    return b"\x80\x04\x8c\x08builtins\x8c\x15object.__subclasses__\x93)R."


def _extension(marker: Path) -> bytes:
    return b"\x80\x02\x82\x01."


def _within_a_tensor(marker: Path) -> bytes:
    """torch pickles a storage as a file of its own inside the file: that is a pickle again."""
    inner = pickle.dumps(_system(marker))
    return pickle.dumps({"G_ema": _Calls(torch.storage._load_from_bytes, inner)})


def _zip(marker: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"g_ema": _system(marker)}, protocol=2))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def _before_torch_1_6(marker: Path) -> bytes:
    """Magic number, two pickles about the writer, then the object."""
    parts: tuple[Any, ...] = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"g_ema": _system(marker)}, [])
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def _whole_module(marker: Path) -> bytes:
    file = io.BytesIO()
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        pytest.param(_in_a_snapshot, "asks for posix.system", id="a_call_in_a_snapshot"),
        pytest.param(_exec, "asks for builtins.exec", id="exec"),
        pytest.param(_getattr, "asks for builtins.getattr", id="getattr"),
        pytest.param(_old_global, "asks for posix.system", id="named_as_text"),
        pytest.param(_instance, "asks for posix.system", id="instance_of_a_name"),
        pytest.param(_object, "asks for posix.system", id="object_of_a_name"),
        pytest.param(_dotted, "asks for builtins.object.__subclasses__", id="attribute_of_a_known_name"),
        pytest.param(_extension, "asks for extension 1", id="name_by_number"),
        pytest.param(_within_a_tensor, "asks for posix.system", id="within_a_tensor"),
        pytest.param(_zip, "asks for posix.system", id="in_a_zip"),
        pytest.param(_before_torch_1_6, "asks for posix.system", id="before_torch_1_6"),
        pytest.param(_whole_module, "asks for torch.nn.modules.container.Sequential", id="whole_module"),
    ],
)
@pytest.mark.parametrize(
    "reads", [pytest.param(load_generator, id="load"), pytest.param(describe_generator, id="info")]
)
def test_code_is_refused_by_name_and_never_runs(
    tmp_path: Path, made: Callable[[Path], bytes], asked: str, reads: Callable[..., Any]
) -> None:
    marker, path = tmp_path / "executed", tmp_path / "g.pkl"
    path.write_bytes(made(marker))
    with pytest.raises(WrongUse) as caught:
        reads(str(path), seed=0)
    said = str(caught.value)
    assert asked in said, said
    assert "save its weights alone: torch.save({'g_ema': " in said
    assert "\n" not in said
    assert not marker.exists()


@pytest.mark.parametrize("made", [_in_a_snapshot, _old_global, _instance, _object, _zip, _before_torch_1_6, _exec])
def test_these_files_are_dangerous(tmp_path: Path, made: Callable[[Path], bytes]) -> None:
    """Or the test above would show nothing: Python's own pickle, or torch, runs what they ask for."""
    marker, path = tmp_path / "executed", tmp_path / "g.pkl"
    path.write_bytes(made(marker))
    if made in (_zip, _before_torch_1_6):
        with pytest.raises(Exception):  # noqa: B017  # what comes after does not matter
            torch.load(path, weights_only=False)["no such entry"]
    else:
        pickle.loads(path.read_bytes())
    assert marker.exists()


@pytest.mark.parametrize(
    "instructions",
    [
        pytest.param(b"ctorch\nSize\n}X" + _text("__code__") + b"K\x01sb", id="a_function"),
        pytest.param(b"cargparse\nNamespace\n}X" + _text("__setstate__") + b"K\x01sb", id="a_class"),
        pytest.param(b"ctorch\nFloatStorage\n}X" + _text("dtype") + b"K\x01sb", id="a_constant"),
        pytest.param(b"}}X" + _text("x") + b"K\x01sb", id="a_dictionary"),
    ],
)
def test_only_records_are_filled(instructions: bytes) -> None:
    """BUILD sets attributes: on a function or class of ours that would change the program."""
    before = (inert.nothing.__code__, inert.Attributes.__setstate__)
    with pytest.raises(pickle.UnpicklingError, match="it fills a"):
        read_pickle(b"\x80\x02" + instructions + b".")
    assert (inert.nothing.__code__, inert.Attributes.__setstate__) == before


def test_an_array_of_objects_is_none_of_numbers(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "g.pkl"
    path.write_bytes(pickle.dumps({"G_ema": np.array([_system(marker)], dtype=object)}))
    with pytest.raises(WrongUse, match=r"not a whole checkpoint \(numbers of type O8\)"):
        load_generator(str(path))
    assert not marker.exists()


def test_a_compressed_pickle_is_not_unpacked(tmp_path: Path) -> None:
    """A few bytes may stand for all of the memory."""
    path = tmp_path / "g.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"g_ema": bytes(10_000_000)}))
    assert path.stat().st_size < 20_000
    with pytest.raises(WrongUse, match=r"not a whole checkpoint \(its pickle is compressed"):
        load_generator(str(path))


def test_a_block_reaches_no_further_than_its_file(tmp_path: Path) -> None:
    """A tensor that claims more numbers than its block has would read what lies beyond."""
    written, _ = read_golden("plain-32")
    path = tmp_path / "g.pt"
    write_rosinality(path, written)
    changed = tmp_path / "changed.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            target.writestr(info.filename, content[:-8] if info.filename.endswith("data/3") else content)
    with pytest.raises(WrongUse, match="not a whole checkpoint"):
        load_generator(str(changed))
