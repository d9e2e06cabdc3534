"""Where training pictures come from, and what is said when they cannot be used."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from operators.stylegan.training.image_sources import open_source
from operators.stylegan.training.packed_images import pack
from schemas.errors import BadInput, LatentreelError, WrongUse

RAMP = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def png(picture=RAMP[0], form="PNG", mode="RGB"):
    out = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(out, form)
    return out.getvalue()


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def folder(path, **files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def archive(path, files):
    with zipfile.ZipFile(path, "w") as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


PICTURES = {f"00000/img{i}.png": png(RAMP[i]) for i in range(3)}
LATENTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_all_sources_give_the_same_pictures(tmp_path):
    labels = {"labels": [[name, [0]] for name in PICTURES]}
    np.save(tmp_path / "packed.npy", RAMP)
    places = [
        folder(tmp_path / "folder", **dict(reversed(PICTURES.items()))),
        archive(tmp_path / "nvidia.zip", {**PICTURES, "dataset.json": json.dumps(labels)}),
        archive(tmp_path / "no_labels.zip", {**PICTURES, "dataset.json": '{"labels": null}'}),
        tmp_path / "packed.npy",
    ]
    for place in places:
        images = pack(open_source(str(place)), tmp_path / f"run-{place.stem}")
        assert np.array_equal(images.pictures_NRRC, RAMP), place
        assert images.resolution == 32
        assert images.latents_NZ is None
        batch = images.batch(np.array([2, 0]), torch.device("cpu"))
        assert batch.shape == (2, 3, 32, 32)
        assert np.array_equal(((batch.movedim(1, -1).numpy() + 1) * 127.5).round().astype(np.uint8), RAMP[[2, 0]])


def test_latents_come_along(tmp_path):
    given = {**PICTURES, "latents.npy": npy(LATENTS)}
    np.save(tmp_path / "crops.npy", RAMP)
    np.save(tmp_path / "latents.npy", LATENTS)
    for place in (folder(tmp_path / "f", **given), archive(tmp_path / "z.zip", given), tmp_path / "crops.npy"):
        images = pack(open_source(str(place)), tmp_path / f"run-{place.stem}")
        assert images.latents_NZ is not None
        assert np.array_equal(images.latents_NZ, LATENTS)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_become_rgb(tmp_path, mode):
    place = folder(tmp_path / "in", **{"a.png": png(mode=mode), "b.jpg": png(form="JPEG")})
    assert pack(open_source(str(place)), tmp_path / "run").pictures_NRRC.shape == (2, 32, 32, 3)


def test_packing_happens_once_and_again_when_the_source_changes(tmp_path):
    place = folder(tmp_path / "in", **PICTURES)
    first = pack(open_source(str(place)), tmp_path / "run")
    folder(place, **{"new.png": png()})
    second = pack(open_source(str(place)), tmp_path / "run")
    assert (len(first), len(second)) == (3, 4)
    assert first.digest() != second.digest()
    (made,) = {path.stat().st_mtime_ns for path in (tmp_path / "run").glob(f"*{open_source(str(place)).listing}*")}
    pack(open_source(str(place)), tmp_path / "run")
    (same,) = {path.stat().st_mtime_ns for path in (tmp_path / "run").glob(f"*{open_source(str(place)).listing}*")}
    assert made == same


def _wide():
    return png(np.zeros((32, 64, 3), np.uint8))


def _odd():
    return png(np.zeros((48, 48, 3), np.uint8))


def _sixteen_bit():
    out = io.BytesIO()
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("files", "kind", "told"),
    [
        pytest.param({"readme.txt": b"hi"}, WrongUse, "no picture in it .*give the folder", id="empty_folder"),
        pytest.param(
            {"a.png": png(), "b.png": png(np.zeros((64, 64, 3), np.uint8))},
            BadInput,
            r"b\.png: 64 px, but .*a\.png has 32; resize all to one size",
            id="two_sizes",
        ),
        pytest.param({"a.png": png(), "b.png": png()[:90]}, BadInput, r"b\.png: not a readable picture", id="cut"),
        pytest.param({"a.png": b"no picture"}, BadInput, r"a\.png: not a readable picture .*take it out", id="text"),
        pytest.param({"a.png": _wide()}, BadInput, r"a\.png: 64x32 px; pictures are square with 32, ", id="wide"),
        pytest.param({"a.png": _odd()}, BadInput, r"a\.png: 48x48 px; .*resize", id="odd_size"),
        pytest.param({"a.png": _sixteen_bit()}, BadInput, r"a\.png: mode I;16; give 8 bits", id="sixteen_bit"),
        pytest.param(
            {"a.png": png(), "latents.npy": npy(LATENTS)},
            BadInput,
            r"latents\.npy: float32 \(3, 4\); give float32 \(1, z_dim\)",
            id="latents_of_other_pictures",
        ),
        pytest.param(
            {"a.png": png(), "latents.npy": npy(np.full((1, 4), np.nan, np.float32))},
            BadInput,
            "NaN or infinity",
            id="latents_nan",
        ),
        pytest.param(
            {"a.png": png(), "latents.npy": npy(np.array([{}], dtype=object))}, BadInput, "not a whole", id="pickle"
        ),
    ],
)
def test_bad_folders(tmp_path, files, kind, told):
    place = folder(tmp_path / "in", **files)
    _refused(str(place), tmp_path / "run", kind, told)


@pytest.mark.parametrize(
    ("files", "kind", "told"),
    [
        pytest.param({"dataset.json": "{}"}, WrongUse, "no picture in it", id="no_pictures"),
        pytest.param({**PICTURES, "../x.png": png()}, BadInput, "leads out of the archive", id="parent"),
        pytest.param({**PICTURES, "/etc/x.png": png()}, BadInput, "leads out of the archive", id="absolute"),
        pytest.param({**PICTURES, "..\\x.png": png()}, BadInput, "leads out of the archive", id="backslash"),
        pytest.param(
            {**PICTURES, "dataset.json": json.dumps({"labels": [["../../x.png", 0]]})},
            BadInput,
            "leads out of the archive",
            id="label_leads_out",
        ),
        pytest.param(
            {**PICTURES, "dataset.json": json.dumps({"labels": [["gone.png", 0]]})},
            BadInput,
            "names gone.png, which is not in the archive",
            id="label_without_picture",
        ),
        pytest.param({**PICTURES, "dataset.json": "nonsense"}, BadInput, "dataset.json is not readable", id="labels"),
        pytest.param({**PICTURES, "dataset.json": "[]"}, BadInput, "dataset.json is not readable", id="labels_list"),
        pytest.param({"a.png": png()[:90]}, BadInput, r"a\.png: not a readable picture", id="cut"),
    ],
)
def test_bad_archives(tmp_path, files, kind, told):
    place = archive(tmp_path / "in.zip", files)
    _refused(str(place), tmp_path / "run", kind, told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(npy(RAMP.astype(np.float32)), r"float32 .*give uint8 \(N, R, R, 3\)", id="floats"),
        pytest.param(npy(RAMP[0]), r"give uint8 \(N, R, R, 3\)", id="one_picture"),
        pytest.param(npy(RAMP)[:500], "not a whole .npy file", id="cut"),
        pytest.param(npy(np.zeros((2, 48, 48, 3), np.uint8)), "48x48 px", id="odd_size"),
        pytest.param(npy(np.array([{}], dtype=object)), "not a whole .npy file", id="pickle"),
    ],
)
def test_bad_packed_files(tmp_path, content, told):
    (tmp_path / "in.npy").write_bytes(content)
    _refused(str(tmp_path / "in.npy"), tmp_path / "run", BadInput, told)


def test_places_that_are_no_source(tmp_path):
    _refused(str(tmp_path / "nowhere"), tmp_path / "run", WrongUse, "no such file or folder")
    (tmp_path / "a.tar").write_bytes(b"x")
    _refused(str(tmp_path / "a.tar"), tmp_path / "run", WrongUse, "neither a folder, a whole .zip nor a .npy")


def test_a_damaged_archive_is_told(tmp_path):
    place = archive(tmp_path / "in.zip", PICTURES)
    content = bytearray(place.read_bytes())
    content[len(png()) // 2] ^= 0xFF  # inside the first picture: its checksum is wrong now
    place.write_bytes(content)
    _refused(str(place), tmp_path / "run", BadInput, "cannot be unpacked .*zip it again")


def _refused(place, run, kind, told):
    with pytest.raises(LatentreelError, match=told) as caught:
        pack(open_source(place), run)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert not run.exists() or list(run.iterdir()) == []  # nothing half-written
