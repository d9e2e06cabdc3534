"""Settings: checked when built, hashed by content, and one line for what is wrong."""

from pathlib import Path

import pytest

from schemas.config import Config, config_id, differences, load_config
from schemas.errors import WrongUse


def _id(config: Config, generator_id: str = "g") -> str:
    return config_id(config.canonical(generator_id=generator_id, emotion_id=None))


def test_flags_go_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("seed: 7\ninversion:\n  method: naive\n  first_steps: 9\n")
    config = load_config(str(tmp_path / "job.yaml"), {"inversion.method": "sequential", "generator": None})
    assert (config.seed, config.inversion.method, config.inversion.first_steps) == (7, "sequential", 9)
    assert config.generator == Config().generator


def test_later_files_go_over_earlier_ones_setting_by_setting(tmp_path: Path) -> None:
    job, shots = tmp_path / "job.yaml", tmp_path / "shots.yaml"
    job.write_text("seed: 7\nshots:\n  fades: false\n  adaptive: {threshold: 5, window: 4}\n")
    shots.write_text("shots:\n  detector: hash\n  adaptive: {threshold: 2.5}\n")
    config = load_config([str(job), str(shots)], {"shots.adaptive.min_content": 9})
    assert (config.seed, config.shots.fades, config.shots.detector) == (7, False, "hash")
    assert config.shots.adaptive.model_dump() == {"threshold": 2.5, "window": 4, "min_content": 9.0}
    assert load_config([str(shots), str(job)], {}).shots.adaptive.threshold == 5
    with pytest.raises(WrongUse, match=f"--config {tmp_path}/gone.yaml"):
        load_config([str(job), f"{tmp_path}/gone.yaml"], {})


@pytest.mark.parametrize(
    ("text", "overrides", "says"),
    [
        pytest.param("inversion: {steps: 3}", {}, "inversion.steps", id="unknown_setting"),
        pytest.param("seed: -1", {}, "seed = -1", id="out_of_range"),
        pytest.param("faces: {finder: magic}", {}, "faces.finder", id="unknown_choice"),
        pytest.param("- seed", {}, "holds a list", id="not_a_mapping"),
        pytest.param("seed: [", {}, "YAML", id="not_yaml"),
        pytest.param("seed: 1", {"seed.deep": 1}, "seed", id="a_setting_is_no_group"),
        pytest.param("inversion: {method: scene, compiled: true}", {}, "leave compiled off", id="a_compiled_scene"),
        pytest.param("inversion: {noise: true}", {}, "set method to naive", id="noise_along_time"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, overrides: dict, says: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(WrongUse) as caught:
        load_config(str(tmp_path / "job.yaml"), overrides)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"inversion.first_steps": 1}, {"faces.smooth_s": 0.5}, {"shots.fades": False}],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_id(change: dict) -> None:
    assert _id(load_config(None, change)) != _id(Config())


def test_the_id_follows_content_and_not_names() -> None:
    ours = Config(generator="a/ffhq.safetensors")
    theirs = Config(generator="b/copy.safetensors")
    assert _id(ours) == _id(theirs)
    assert _id(ours, "g1") != _id(ours, "g2")


def test_differences_are_named() -> None:
    ours = Config().canonical(generator_id="a", emotion_id=None)
    theirs = load_config(None, {"inversion.method": "naive"}).canonical(generator_id="b", emotion_id=None)
    assert differences(ours, theirs) == ["generator: a, not b", "inversion.method: sequential, not naive"]
