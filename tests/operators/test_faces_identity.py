"""Identities by dlib: the same as the torch copy's, and near where one person is meant."""

import json
import subprocess
import sys
from itertools import combinations

import av
import numpy as np
import pytest
import skimage.data
import torch

from operators.faces.dlib_embedder import DlibEmbedder, chip_places, cut_chips
from operators.faces.dlib_finder import DlibFinder
from operators.faces.identity import IdentityReader
from schemas.face_settings import FaceSettings

ASTRONAUT = skimage.data.astronaut()


@pytest.fixture(scope="module")
def finder() -> DlibFinder:
    return DlibFinder(FaceSettings())


@pytest.fixture(scope="module")
def reader() -> IdentityReader:
    return IdentityReader()


@pytest.fixture(scope="module")
def two_faces(finder):
    """Of the one face, and the same a little lower on the picture: two faces whose numbers differ."""
    ((face,),) = finder([ASTRONAUT])
    return np.stack([face.landmarks_682, face.landmarks_682 + np.array([0, 9], np.float32)])


def test_the_torch_copy_says_the_same(reader, two_faces):
    """On its own chips, which are cut from the crop with other interpolation."""
    picture = torch.tensor(ASTRONAUT).movedim(-1, 0)[None].float() / 127.5 - 1  # R R C -> 1 C R R
    chips = cut_chips(picture, chip_places(two_faces[:1], crop_px=512))
    with torch.inference_mode():
        theirs = DlibEmbedder()(chips)[0].numpy()
    found = reader(ASTRONAUT, two_faces)
    assert found.dtype == np.float32
    assert np.linalg.norm(found[0] - theirs) < 0.05 < np.linalg.norm(found[1] - theirs)


def test_a_face_is_itself_beside_any_other(reader, two_faces):
    alone = [reader(ASTRONAUT, two_faces[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(reader(ASTRONAUT, two_faces), alone, atol=1e-6)


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param(np.array([-400, 0], np.float32), id="half_outside"),
        pytest.param(np.array([4000, 4000], np.float32), id="outside"),
    ],
)
def test_landmarks_beyond_the_border_are_no_error(reader, two_faces, moved):
    found = reader(ASTRONAUT, two_faces + moved)
    assert found.shape == (2, 128)
    assert np.isfinite(found).all()


def test_no_faces_no_identities(reader):
    assert reader(ASTRONAUT, np.empty((0, 68, 2), np.float32)).shape == (0, 128)


def test_one_person_is_nearer_to_himself_than_to_others(media, finder, reader):
    """A trailer of six shots of five people, one of whom returns: means of five frames each, as tracks have them."""
    segments = [s for s in json.loads((media / "trailer_cuts.json").read_text())["segments"] if s["face"]]
    wanted = {
        int(t): i for i, s in enumerate(segments) for t in np.linspace(s["first_frame"] + 2, s["last_frame"] - 2, 5)
    }
    found: list[list[np.ndarray]] = [[] for _ in segments]
    with av.open(media / "trailer_cuts.mp4") as film:
        for t, frame in enumerate(film.decode(video=0)):
            if t in wanted:
                rgb_HWC = frame.to_ndarray(format="rgb24")
                found[wanted[t]] += [reader(rgb_HWC, face.landmarks_682[None])[0] for face in finder([rgb_HWC])[0][:1]]
    means = [np.mean(identities, axis=0) for identities in found]
    apart = {(a, b): float(np.linalg.norm(means[a] - means[b])) for a, b in combinations(range(len(means)), 2)}
    (same,) = [pair for pair in apart if len({segments[i]["person"] for i in pair}) == 1]
    assert apart[same] < 0.4 < min(distance for pair, distance in apart.items() if pair != same), apart


def test_torch_is_not_imported():
    code = "import sys; import operators.faces.identity; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
