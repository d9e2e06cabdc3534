"""Tracks gathered into people: laws that hold wherever people are apart, and a plain search as the oracle."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.faces import people as module
from operators.faces.people import NOBODY, NewTracks, People, gather, nearest, tell_apart

T = 0.45


def tracks(identities: Any, n_frames: Any = None, names: Any = None) -> NewTracks:
    identity_N128 = np.asarray(identities, np.float32)
    n = len(identity_N128)
    return NewTracks(
        track_ids=[f"t{i}" for i in range(n)] if names is None else list(names),
        identity_N128=identity_N128,
        n_frames_N=np.full(n, 10, np.int64) if n_frames is None else np.asarray(n_frames, np.int64),
    )


def on_a_line(*places: float) -> Any:
    """(N, 128) that differ in one number."""
    return np.array(places, np.float32)[:, None] * np.eye(128, dtype=np.float32)[:1]


def partition(names: dict[str, str]) -> set[frozenset[str]]:
    return {frozenset(t for t, other in names.items() if other == name) for name in names.values()}


@st.composite
def crowds(draw: st.DrawFn) -> tuple[NewTracks, list[int]]:
    """Tracks of one person at most T apart, of two people more than 2 T; and who is who."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    who = draw(st.lists(st.integers(0, 4), min_size=1, max_size=20))
    centre_P128 = np.eye(128)[:5] * 3 * T  # 4.2 T apart
    noise_N128 = random.normal(size=(len(who), 128))
    noise_N128 *= random.uniform(0, 0.5 * T, (len(who), 1)) / np.linalg.norm(noise_N128, axis=1, keepdims=True)
    return tracks(centre_P128[who] + noise_N128, random.integers(1, 500, len(who))), who


@settings(max_examples=60, deadline=None)
@given(crowd=crowds(), data=st.data())
def test_people_who_are_apart_are_the_same_in_any_order_and_number_of_calls(
    crowd: tuple[NewTracks, list[int]], data: st.DataObject
) -> None:
    new, who = crowd
    expected = {frozenset(f"t{i}" for i, one in enumerate(who) if one == person) for person in who}
    order = data.draw(st.permutations(range(len(who))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(who)), max_size=4)))
    known = NOBODY
    found: dict[str, str] = {}
    for some in np.split(np.array(order), cuts):
        chosen = tracks(
            new.identity_N128[some].reshape(-1, 128), new.n_frames_N[some], [f"t{i}" for i in some.tolist()]
        )
        known, names = tell_apart(known, chosen, T)
        found |= dict(zip(chosen.track_ids, names, strict=True))
    assert partition(found) == expected
    assert sorted(known.person_ids) == sorted(set(found.values()))
    of_person = [[i for i in range(len(who)) if found[f"t{i}"] == name] for name in known.person_ids]
    assert known.n_tracks_P.tolist() == [len(some) for some in of_person]
    means = [np.average(new.identity_N128[some], axis=0, weights=new.n_frames_N[some]) for some in of_person]
    np.testing.assert_allclose(known.identity_P128, means, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 25), threshold=st.floats(0.05, 1.5))
def test_groups_are_those_of_a_plain_search(seed: int, n: int, threshold: float) -> None:
    """The two nearest of all, again and again, every distance measured anew."""
    random = np.random.default_rng(seed)
    identity_N128 = np.zeros((n, 128), np.float32)
    identity_N128[:, :3] = random.uniform(0, 1, (n, 3))
    n_frames_N = random.integers(1, 50, n)
    groups = [[i] for i in range(n)]

    def mean(group: list[int]) -> Any:
        return np.average(identity_N128[group].astype(np.float64), axis=0, weights=n_frames_N[group])

    while len(groups) > 1:
        pairs = [(float(np.linalg.norm(mean(a) - mean(b))), a, b) for i, a in enumerate(groups) for b in groups[:i]]
        distance, a, b = min(pairs)
        if abs(distance - threshold) < 1e-4:
            return  # too near to the threshold to call
        if distance > threshold:
            break
        groups = [group for group in groups if group not in (a, b)] + [sorted(a + b)]
    found = gather(identity_N128, n_frames_N, threshold)
    assert {frozenset(group) for group in groups} == {frozenset(np.flatnonzero(found == i)) for i in set(found)}
    assert all(found[i] == group[0] for group in groups for i in group), "named for the first"


def test_nearest_is_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PEOPLE_AT_ONCE", 7)
    random = np.random.default_rng(0)
    people, some = (random.normal(0, 1 / 16, (n, 128)).astype(np.float32) for n in (40, 15))
    distances = np.linalg.norm(people[None] - some[:, None], axis=2)
    who, distance = nearest(people, some)
    np.testing.assert_array_equal(who, distances.argmin(axis=1))
    np.testing.assert_allclose(distance, distances.min(axis=1), atol=1e-4)
    assert nearest(NOBODY.identity_P128, some)[1].min() == np.inf


@pytest.mark.parametrize(
    ("places", "n_frames", "together"),
    [
        pytest.param([0, 0.4], [5, 5], [{0, 1}], id="near"),
        pytest.param([0, 0.5], [5, 5], [{0}, {1}], id="apart"),
        pytest.param([0, 0.4, 0.8], [5, 5, 5], [{0, 1}, {2}], id="a_chain_breaks"),
        pytest.param([0, 0.4, 0.8], [1, 9, 1], [{0, 1, 2}], id="the_longer_weighs_more"),
        pytest.param([], [], [], id="nobody"),
    ],
)
def test_small_groups(places: list[float], n_frames: list[int], together: list[set[int]]) -> None:
    known, names = tell_apart(NOBODY, tracks(on_a_line(*places), n_frames), T)
    found = [{i for i, other in enumerate(names) if other == name} for name in dict.fromkeys(names)]
    assert sorted(found, key=min) == together
    assert len(known) == len(together)


def test_the_known_keep_their_names_and_never_merge() -> None:
    known, (a, b) = tell_apart(NOBODY, tracks(on_a_line(0, 0.5)), T)
    after, names = tell_apart(known, tracks(on_a_line(0.2, 0.3, 2.0), names="xyz"), T)
    assert after.person_ids[:2] == [a, b] == known.person_ids
    assert names[0] == names[1] in (a, b), "two new tracks are one group, nearer to one of them"
    assert names[2] not in (a, b)
    assert after.n_tracks_P.sum() == 5


def test_a_person_is_named_after_the_longest_track() -> None:
    _, once = tell_apart(NOBODY, tracks(on_a_line(0, 0.1), [5, 9]), T)
    _, alone = tell_apart(NOBODY, tracks(on_a_line(7), names=["t1"]), T)
    assert once == [alone[0]] * 2 == ["p628b49d96dcde97a"] * 2


def test_a_track_that_comes_again_elsewhere_founds_somebody_else() -> None:
    known, (a,) = tell_apart(NOBODY, tracks(on_a_line(0)), T)
    after, (b,) = tell_apart(known, tracks(on_a_line(5)), T)
    assert a != b
    assert after.person_ids == [a, b]


def test_more_than_are_gathered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest tracks found the people, whatever the order in which they come."""
    monkeypatch.setattr(module, "GATHERED_AT_ONCE", 2)
    known, names = tell_apart(NOBODY, tracks(on_a_line(0.05, 0, 0.75, 0.7, 0.1), [2, 90, 1, 80, 1]), T)
    assert names == [known.person_ids[i] for i in (0, 0, 1, 1, 0)]
    assert known.n_frames_P.tolist() == [93, 81]
    np.testing.assert_allclose(known.identity_P128[:, 0], [(0.05 * 2 + 0.1) / 93, (0.75 + 80 * 0.7) / 81], atol=1e-6)


def test_nobody_has_no_rows() -> None:
    assert len(NOBODY) == 0
    assert isinstance(NOBODY, People)
