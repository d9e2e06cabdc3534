"""How many processes, and which of them hold a part of a card: all of them have to find room at once."""

import os

import pytest

from jobs.bulk_run import default_pools


@pytest.mark.parametrize("workers", [None, 1, 4])
@pytest.mark.parametrize(
    ("device", "finder", "face_gpus"),
    [
        pytest.param("cpu", "dlib", 0.0, id="cpu"),
        pytest.param("cpu", "face-alignment", 0.0, id="networks_on_the_cpu"),
        pytest.param("cuda", "dlib", 0.0, id="dlib_needs_no_card"),
        pytest.param("cuda", "face-alignment", 0.2, id="networks_share_the_inverters_card"),
    ],
)
def test_all_pools_stand_on_as_many_cards_as_there_are_inverters(monkeypatch, workers, device, finder, face_gpus):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    pools = default_pools(workers, device, finder=finder)
    assert pools.face_gpus == face_gpus
    cards = pools.invert_workers if device == "cuda" else 0
    assert pools.face_workers * pools.face_gpus + pools.invert_workers * pools.invert_gpus <= cards + 1e-9
    assert device == "cpu" or pools.invert_gpus > 0.5  # no two inverters on one card
