"""What the documents show is true."""

import json
import re

import yaml

from operators.emotion.manifest import EmotionManifest
from schemas.config import Config
from tests.conftest import REPO

SETTINGS = (REPO / "docs" / "settings.md").read_text()


def _block(language: str) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", SETTINGS, re.DOTALL)
    return found[0]


def test_the_settings_shown_are_the_defaults() -> None:
    assert yaml.safe_load(_block("yaml")) == Config().model_dump()


def test_the_manifest_shown_is_valid() -> None:
    EmotionManifest.model_validate(json.loads(_block("json")))


def test_files_that_pages_link_to_exist() -> None:
    for page in (REPO / "README.md", *(REPO / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
