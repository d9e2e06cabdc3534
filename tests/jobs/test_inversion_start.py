"""Where inversions of a job start: what --init and --encoder come to, what is said of it, and whose ids it changes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from jobs.bulk_run import announce_encoder
from jobs.describe_job import describe_job
from operators.inversion.tools import inversion_tools
from operators.stylegan.checkpoint import load_generator, save_generator
from schemas.config import Config, InversionSettings, config_id, load_config
from schemas.errors import WrongUse
from tests.reference import published_encoders as reference

SHIPPED = "puppet-128-encoder"


def described(generator: str = "puppet-128", **inversion: Any) -> tuple[Any, dict[str, Any]]:
    settings = {"generator": generator, **{f"inversion.{name}": value for name, value in inversion.items()}}
    return describe_job(load_config(None, settings), "d")


@pytest.mark.parametrize(
    ("inversion", "starts_from"),
    [
        pytest.param({}, SHIPPED, id="by_default_where_there_is_one"),
        pytest.param({"init": "encoder"}, SHIPPED, id="encoder"),
        pytest.param({"init": "mean"}, "none", id="mean"),
        pytest.param({"init": "mean", "encoder": SHIPPED}, "none", id="mean_in_spite_of_one"),
        pytest.param({"preset": "projector"}, "none", id="projector"),
        pytest.param({"preset": "projector", "init": "encoder"}, SHIPPED, id="projector_from_an_encoder"),
    ],
)
def test_where_an_inversion_starts(inversion: dict[str, Any], starts_from: str) -> None:
    job, _ = described(**inversion)
    assert job.config.inversion.encoder == starts_from
    tools = inversion_tools(
        load_generator("puppet-128"), job.config.inversion.model_copy(update={"prior_samples": 1000})
    )
    assert (tools.encoder is None) == (starts_from == "none")


def test_to_start_from_the_mean_is_to_have_no_encoder() -> None:
    """One dataset, however it was said."""
    assert described(init="mean")[0].config_id == described(encoder="none")[0].config_id
    assert described(init="encoder")[0].config_id == described()[0].config_id


def test_an_encoder_that_is_not_there_is_told_with_the_cure() -> None:
    assert described("random-32")[0].config.inversion.encoder == "none"
    with pytest.raises(WrongUse, match="generator random-32 has none; name one with --encoder, train one with") as told:
        described("random-32", init="encoder")
    assert "\n" not in str(told.value)
    with pytest.raises(WrongUse, match="init says encoder, and encoder says none; leave one of them out"):
        described(init="encoder", encoder="none")


@pytest.mark.parametrize(
    ("inversion", "encoder_id", "before"),
    [
        pytest.param({}, None, "74ff0d30220212cf", id="defaults"),
        pytest.param({"encoder": "none", "method": "scene"}, "e", "7fa8236d35197f2c", id="scene"),
    ],
)
def test_datasets_of_before_keep_their_ids(inversion: dict[str, Any], encoder_id: str | None, before: str) -> None:
    """The ids are those that commit b2265e3 gives."""
    config = Config(inversion=InversionSettings(**inversion))
    assert config_id(config.canonical(generator_id="g", emotion_id=None, encoder_id=encoder_id)) == before


@pytest.mark.parametrize("change", [{"encoder_refinements": 0}, {"encoder_refinements": 3}, {"average_weight": 0.1}])
def test_what_changes_a_start_is_another_dataset(change: dict[str, Any]) -> None:
    assert described(**change)[0].config_id != described()[0].config_id


def said(job: Any) -> str:
    console = Console(record=True, width=400, quiet=False, file=Path("/dev/null").open("w"))  # noqa: SIM115
    announce_encoder(job, console)
    return console.export_text()


@pytest.mark.parametrize(
    ("seed", "is_told"), [pytest.param(0, False, id="its_own"), pytest.param(1, True, id="anothers")]
)
def test_an_encoder_of_another_generator_is_told(tmp_path: Path, seed: int, is_told: bool) -> None:
    ours, theirs = (reference.little_generator(w_dim=32, seed=each) for each in (0, seed))
    save_generator(ours, str(tmp_path / "g.safetensors"))
    named = reference.shapes("Encoder4Editing", channels=3, width=16, num_ws=8, w_dim=32)
    weights, decoder = reference.random_weights(named, seed=0), reference.decoder_weights(theirs)
    whole = reference.checkpoint("Encoder4Editing", weights, torch.zeros(8, 32), decoder=decoder)
    path = reference.save(whole, tmp_path / "e4e.pt")
    job, canonical = described(str(tmp_path / "g.safetensors"), encoder=path)
    assert len(canonical["inversion"]["encoder"]) == 16
    told = said(job)
    assert f"starts from encoder {path}" in told
    assert ("carries another generator than" in told) == is_told


def test_a_published_encoder_of_other_sizes_stops_a_job_before_it_starts(tmp_path: Path) -> None:
    named = reference.shapes("BackboneEncoder", channels=6, width=16, num_ws=8, w_dim=32)
    whole = reference.checkpoint("BackboneEncoder", reference.random_weights(named, seed=0), torch.zeros(8, 32))
    path = reference.save(whole, tmp_path / "restyle.pt")
    with pytest.raises(WrongUse, match="makes 8 styles of 32, and the generator takes 12 of 256"):
        described(encoder=path)


@pytest.mark.parametrize(
    ("inversion", "expected"),
    [
        pytest.param({}, "from encoder puppet-128-encoder", id="encoder"),
        pytest.param({"init": "mean"}, "from the mean latent", id="mean"),
    ],
)
def test_what_a_run_says(inversion: dict[str, Any], expected: str) -> None:
    assert f"the first frame of a track starts {expected}" in said(described(**inversion)[0])
