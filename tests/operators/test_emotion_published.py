"""Expression networks of the registry by name: files of their shapes, made here, fetched from a real server."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from jobs.describe_job import describe_job
from operators.emotion.manifest import emotion_id, read_model
from operators.emotion.onnx_emotion import OnnxEmotion
from operators.emotion.published_networks import PUBLISHED_NETWORKS
from schemas.config import EmotionSettings, load_config
from schemas.emotions import EMOTIONS
from schemas.errors import WrongUse
from schemas.model_files import MODEL_FILES
from tests.model_server import ModelServer
from tests.operators.test_emotion_onnx import clip_of, network, probs_of

RAW = EmotionSettings(smooth_s=0)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LATENTREEL_MODELS", raising=False)


@pytest.fixture
def offer(monkeypatch):
    """Makes a network of an entry's shapes the file of that entry."""
    servers = []

    def start(short, *, n_out, side):
        weights = np.random.default_rng(1).normal(0, 1, (3, n_out)).astype(np.float32)
        content = network(weights, side=side)
        server = ModelServer(content, "good")
        servers.append(server)
        (file,) = (file for file in MODEL_FILES.values() if file.short == short)
        sha256 = hashlib.sha256(content).hexdigest()
        file = replace(file, url=server.url(file.name), sha256=sha256, git_blob="", bytes=len(content))
        monkeypatch.setitem(MODEL_FILES, file.name, file)
        return server, weights

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("short", "side", "labels"),
    [
        pytest.param("enet-b0-8", 224, "anger contempt disgust fear happiness neutral sadness surprise", id="eight_b0"),
        pytest.param("enet-b2-7", 260, "anger disgust fear happiness neutral sadness surprise", id="seven_b2"),
        pytest.param(
            "enet-b0-8-va",
            224,
            "anger contempt disgust fear happiness neutral sadness surprise valence arousal",
            id="with_valence_and_arousal",
        ),
    ],
)
def test_probabilities_are_those_given_one_of_the_seven(offer, short, side, labels):
    """A face of one colour: what the network sees of it is known exactly."""
    labels = labels.split()
    server, weights = offer(short, n_out=len(labels), side=side)
    colour = np.array([200, 120, 40], np.uint8)
    clip = clip_of(np.tile(colour, (3, 64, 64, 1)))
    found = probs_of(OnnxEmotion(short, RAW), clip)

    seen = (colour / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]  # as torchvision's Normalize has it
    powers = dict(zip(labels, np.exp(seen @ weights), strict=True))
    wanted = np.array([powers[name] for name in EMOTIONS])
    # The network's mean over 50,000 pixels is a float32; what is left out would be missed by far more.
    np.testing.assert_allclose(found, np.tile(wanted / wanted.sum(), (3, 1)), rtol=1e-3)
    if len(labels) > len(EMOTIONS):
        assert (sum(powers.values()) - wanted.sum()) / wanted.sum() > 0.05
    assert server.asked == [None]


def test_the_setting_is_the_name_everywhere_and_the_id_follows_the_file(offer, tmp_path, monkeypatch):
    server, _ = offer("enet-b0-8", n_out=8, side=224)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enet-b0-8").write_text("a file of that name is not meant")
    config = load_config(None, {"emotion.model": "enet-b0-8", "generator": "random-32"})
    job, canonical = describe_job(config, str(tmp_path / "dataset"))
    assert job.config.emotion.model == "enet-b0-8", "a path would mean nothing on another node"
    assert canonical["emotion"]["model"] == emotion_id("enet-b0-8") == emotion_id("enet_b0_8_best_vgaf.onnx")
    assert server.asked == [None]


def test_a_file_here_is_meant_before_a_file_of_the_registry(offer, tmp_path, monkeypatch):
    server, _ = offer("enet-b0-8", n_out=8, side=224)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enet_b0_8_best_vgaf.onnx").write_bytes(b"mine")
    with pytest.raises(WrongUse, match=r"enet_b0_8_best_vgaf.onnx has no manifest; write"):
        read_model("enet_b0_8_best_vgaf.onnx")
    assert server.asked == []


def test_another_kind_of_network_is_refused():
    with pytest.raises(WrongUse, match=r"^expression model ffhq-1024: that is StyleGAN2, faces .*choose enet-b0-8, "):
        read_model("ffhq-1024")


def test_every_expression_network_of_the_registry_can_be_read():
    assert {file.short for file in MODEL_FILES.values() if file.kind == "emotion"} == PUBLISHED_NETWORKS.keys()


def test_the_id_of_the_shipped_network_stays():
    """Datasets that were made with it hold this id."""
    assert emotion_id("puppet-emotion") == "c10eb8ba3d7fc3a4"
