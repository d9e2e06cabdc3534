"""What the documents show is true."""

import json
import re

import yaml

from operators.emotion.manifest import EmotionManifest
from schemas.config import Config
from schemas.model_files import MODEL_FILES
from tests.conftest import REPO

SETTINGS = (REPO / "docs" / "settings.md").read_text()


def _block(language: str) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", SETTINGS, re.DOTALL)
    return found[0]


def test_the_settings_shown_are_the_defaults() -> None:
    assert yaml.safe_load(_block("yaml")) == Config().model_dump()


def test_the_manifest_shown_is_valid() -> None:
    EmotionManifest.model_validate(json.loads(_block("json")))


def test_the_published_weights_shown_are_those_of_the_registry() -> None:
    """Each by its name, under its kind, and said to be verified where it can be."""
    rows = re.findall(r"^\| (\w+)[^|]*\| (`.*) \|$", (REPO / "docs" / "models.md").read_text(), re.MULTILINE)
    shown = {(kind, name) for kind, names in rows for name in re.findall(r"`(\S+)`", names)}
    assert shown == {(file.kind, file.short) for file in MODEL_FILES.values()}
    (told,) = re.findall(
        r"^\| generator, verified \| (.*) \|$", (REPO / "docs" / "models.md").read_text(), re.MULTILINE
    )
    verified = {file.short for file in MODEL_FILES.values() if file.told_by_sum}
    assert set(re.findall(r"`(\S+)`", told)) == {
        name for kind, name in shown if kind == "generator" and name in verified
    }
    assert {name for kind, name in shown if kind != "generator"} <= verified


def test_files_that_pages_link_to_exist() -> None:
    for page in (REPO / "README.md", *(REPO / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
