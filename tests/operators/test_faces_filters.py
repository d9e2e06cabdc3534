"""What is left out of tracks for its size, pose or sharpness, and how it is counted."""

import numpy as np
import pytest

from operators.faces.face import Face
from operators.faces.filled_tracks import BEST, filled_tracks
from operators.faces.pose import turned_deg
from operators.faces.sighting import Sighting
from operators.faces.tracking import link_faces
from operators.puppets.camera import Camera
from operators.puppets.parameters import Expression, Identity, Pose
from operators.puppets.scene import Person, PosedPerson
from schemas.clips import Dropped
from schemas.face_settings import FaceSettings

SETTINGS = FaceSettings(max_gap_s=0.2, min_track_s=0.08, max_turn_deg=25, min_sharpness=0.1, min_face_px=40)


def sighting(*, yaw=0.0, box_px=100.0, sharpness=0.5, identity=None):
    camera = Camera.straight(distance_mm=1300, focal_px=1000, centre=(300, 300))
    person = PosedPerson(Person(identity=Identity(), expression=Expression(), pose=Pose(yaw=yaw)))
    face = Face(box=(250, 250, 250 + box_px, 350), landmarks_682=person.landmarks(camera), score=1.0)
    return Sighting(face=face, sharpness=sharpness, identity_128=identity)


MARKS = {
    "#": [sighting()],
    "s": [sighting(box_px=39)],
    "t": [sighting(yaw=40)],
    "b": [sighting(sharpness=0.05)],
    "*": [sighting(box_px=39, yaw=40, sharpness=0.05)],
    ".": [],
}


def found(marks, settings=SETTINGS, *, answers_for=None, first_frame=0):
    sightings = [MARKS[mark] for mark in marks]
    pts_us = 40_000 * np.arange(len(marks))
    linked = link_faces(sightings, pts_us, max_gap_s=settings.max_gap_s)
    answers_for = range(first_frame, first_frame + len(marks)) if answers_for is None else answers_for
    return filled_tracks(linked, pts_us, settings, first_frame=first_frame, answers_for=answers_for)


@pytest.mark.parametrize(
    ("marks", "shown", "dropped"),
    [
        pytest.param("######", ["######"], Dropped(), id="nothing"),
        pytest.param("###ss###", ["###  ###"], Dropped(small=2), id="short_stretches_are_filled_in"),
        pytest.param("###tttttt###", ["###", "###"], Dropped(turned=6), id="long_ones_split"),
        pytest.param("###sstbb###", ["###", "###"], Dropped(small=2, turned=1, blurred=2), id="reasons_in_one_gap"),
        pytest.param("###*###", ["### ###"], Dropped(small=1), id="each_face_once_for_the_first_reason"),
        pytest.param("###b.b###", ["###   ###"], Dropped(blurred=2), id="an_unseen_one_between_is_not_counted"),
        pytest.param("bb####tt", ["####"], Dropped(blurred=2, turned=2), id="at_the_ends"),
        pytest.param("ssssss", [], Dropped(small=6), id="a_whole_track"),
        pytest.param("s.......###", ["###"], Dropped(), id="a_false_find_is_no_face"),
        pytest.param("#tt####", ["#  ####"], Dropped(turned=2), id="one_seen_before"),
        pytest.param("#tttttt####", ["####"], Dropped(turned=6), id="what_is_left_may_be_too_short"),
    ],
)
def test_filters(marks, shown, dropped):
    tracks, counts = found(marks)
    assert ["".join("# "[int(c == 0)] for c in track.confidence_T) for track in tracks] == shown
    assert counts == dropped


def test_all_but_size_are_off_unless_asked_for():
    tracks, counts = found("##tt##bb##ss##", FaceSettings(min_track_s=0.0, min_face_px=40))
    assert counts == Dropped(small=2)
    assert (tracks[0].confidence_T == 0).tolist() == [False] * 10 + [True] * 2 + [False] * 2


def test_counted_is_only_what_the_segment_answers_for():
    _, counts = found("ss##tt##bb", first_frame=100, answers_for=range(101, 105))
    assert counts == Dropped(small=1, turned=1)


def test_the_identity_is_the_mean_of_the_best():
    """Sharp ones before blurred ones, frontal ones before turned ones."""
    good, bad = np.full(128, 0.1, np.float32), np.full(128, 0.12, np.float32)
    worse = [sighting(sharpness=0.2, identity=bad), sighting(yaw=24, sharpness=0.5, identity=bad)]
    assert turned_deg(worse[1].face.landmarks_682[None])[0, 0] > 20
    sightings = [[s] for s in [*worse, *[sighting(identity=good)] * BEST, *worse, sighting()]]
    pts_us = 40_000 * np.arange(len(sightings))
    linked = link_faces(sightings, pts_us, max_gap_s=0.2)
    (track,), _ = filled_tracks(linked, pts_us, SETTINGS, first_frame=0, answers_for=range(20))
    assert track.identity_128 is not None
    np.testing.assert_allclose(track.identity_128, good, atol=1e-6)
    ((unknown,), _) = found("####")
    assert unknown.identity_128 is None
