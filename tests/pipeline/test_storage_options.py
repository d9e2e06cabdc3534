"""Storage options and the environment: both halves of the storage get the same, and what is wrong is one line."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.create_tables import open_or_create
from pipeline.plan import plan_videos
from pipeline.read import open_dataset
from pipeline.sources import expand_sources
from pipeline.storage_options import checked_options, delta_options, open_filesystem
from pipeline.store import Store
from pipeline.tables import Tables
from schemas.errors import WrongUse
from tests import builders
from tests.datasets import make_dataset
from tests.runs import Run
from tests.s3_server import S3Server, s3_server, without_aws

DEAD = "http://127.0.0.1:9"  # nobody listens on the port of `discard`


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(str.upper, id="AWS_REGION"),
        pytest.param(str.lower, id="aws_region"),
        pytest.param(lambda name: name.replace("AWS_REGION", "AWS_DEFAULT_REGION"), id="AWS_DEFAULT_REGION"),
        pytest.param(lambda name: name.replace("ENDPOINT_URL", "ENDPOINT_URL_S3"), id="AWS_ENDPOINT_URL_S3"),
    ],
)
def test_options_alone_and_the_environment_alone_open_both_halves(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, rename: Any
) -> None:
    options = {rename(name): value for name, value in s3.options.items()}
    if not any(name.islower() for name in options):  # an environment has capitals
        for name, value in options.items():
            monkeypatch.setenv(name, value)
        tables = make_dataset(f"{bucket}/d", [])
        assert tables.store.folders("") == ["frames", "shots", "tracks", "videos"]
        for name in options:
            monkeypatch.delenv(name)
    else:
        make_dataset(f"{bucket}/d", [], _job_with(f"{bucket}/d", options))
    assert open_dataset(f"{bucket}/d", options).tables.store.folders("") == ["frames", "shots", "tracks", "videos"]


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ALLOW_HTTP"])
def test_options_go_over_the_environment(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, {"AWS_REGION": "mars-1", "AWS_ALLOW_HTTP": "false"}.get(name, DEAD))
    options = s3.options | {"AWS_ALLOW_HTTP": "true"}
    make_dataset(f"{bucket}/d", [], _job_with(f"{bucket}/d", options))
    assert open_dataset(f"{bucket}/d", options).videos.num_rows == 0


def _job_with(url: str, options: dict[str, str]) -> Any:
    return replace(builders.job(url)[0], storage_options=options)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        pytest.param("s3://b/x", {"AWS_SKIP_SIGNATURE": "true"}, {"anon": True}, id="s3_public"),
        pytest.param("gs://b/x", {"GOOGLE_SERVICE_ACCOUNT": "/key.json"}, {"token": "/key.json"}, id="google_file"),
        pytest.param("gs://b/x", {"google_service_account_key": '{"a": 1}'}, {"token": {"a": 1}}, id="google_key"),
        pytest.param("abfs://c/x", {"AZURE_STORAGE_ACCOUNT_NAME": "me"}, {"account_name": "me"}, id="azure"),
        pytest.param("abfs://c/x", {"AWS_REGION": "x"}, {}, id="of_another_store"),
        pytest.param("/tmp/x", {"AWS_REGION": "x"}, {}, id="a_folder_needs_none"),
    ],
)
def test_each_file_system_gets_its_own_words(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, str], words: dict[str, Any]
) -> None:
    """gcsfs and adlfs are not installed here: what they would be given is looked at, not what they do with it."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda _url, **words: (given.update(words), ("fs", "path"))[1])
    open_filesystem(url, options)
    given.pop("use_listings_cache", None)
    assert given == words


def test_commits_are_conditional_and_http_is_allowed_where_it_is_asked_for(nowhere: None) -> None:
    plain = delta_options("s3://b/x", {"aws_endpoint_url": "http://here"}) or {}
    safe = delta_options("s3://b/x", {"aws_endpoint_url": "https://here"}) or {}
    assert (plain["aws_allow_http"], "aws_allow_http" in safe) == ("true", False)
    assert plain["aws_conditional_put"] == safe["aws_conditional_put"] == "etag"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"AWS_REGOIN": "x"}, "AWS_REGOIN: no such option; S3 takes AWS_ACCESS_KEY_ID", id="misspelt"),
        pytest.param({"key": "x"}, "no such option; S3 takes .* Google .* Azure", id="s3fs_own_word"),
        pytest.param({"AWS_REGION": "a", "aws_default_region": "b"}, "given twice", id="twice"),
        pytest.param({"AWS_ACCESS_KEY_ID": "a"}, "AWS_SESSION_TOKEN of another key", id="half_from_the_environment"),
    ],
)
def test_options_that_cannot_be_are_refused_without_their_values(
    nowhere: None, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], says: str
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-the-environment")
    with pytest.raises(WrongUse, match=says) as err:
        checked_options(dict.fromkeys(options, "very-secret"))
    assert "very-secret" not in str(err.value)


def test_where_writers_cannot_be_kept_apart_there_is_no_dataset() -> None:
    with pytest.raises(WrongUse, match="memory://, where two writers could not be kept apart"):
        open_or_create(*builders.job("memory://data/d"), anew=False)


def test_what_holds_options_does_not_show_them(s3: S3Server) -> None:
    held = (Store("s3://b", s3.options), Tables("s3://b", s3.options), _job_with("s3://b", s3.options))
    assert not [thing for thing in held if s3.options["AWS_SECRET_ACCESS_KEY"] in repr(thing)]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that knows no key at all."""
    with s3_server(tmp_path_factory.mktemp("strict") / "log", INITIAL_NO_AUTH_ACTION_COUNT="0") as server:
        yield server


def _options_of(case: str, s3: S3Server, strict: S3Server) -> dict[str, str]:
    if case == "strict":
        return strict.options
    if case == "no_credentials":
        return {"AWS_ENDPOINT_URL": s3.url}
    return s3.options | ({"AWS_ENDPOINT_URL": DEAD} if case == "no_server" else {})


@pytest.mark.parametrize(
    ("url", "case", "says"),
    [
        pytest.param("s3://nobody-made-it/d", "usual", "there is no such bucket; make it first", id="no_bucket"),
        pytest.param("s3://any/d", "strict", "does not know this key; check AWS_ACCESS_KEY_ID", id="unknown_key"),
        pytest.param("s3://any/d", "no_credentials", "no credentials were found; set AWS_ACC", id="no_credentials"),
        pytest.param("nfs4://host/d", "usual", "Protocol not known: nfs4", id="unknown_protocol"),
        pytest.param("s3://any/d", "no_server", f"nobody answers at {DEAD}", id="no_server"),
    ],
)
def test_troubles_are_one_line_with_the_cure(
    s3: S3Server, strict: S3Server, nowhere: None, url: str, case: str, says: str
) -> None:
    """For whoever opens a dataset, and whoever names films there."""
    options = _options_of(case, s3, strict)
    with pytest.raises(WrongUse) as opened:
        open_dataset(url, options)
    lines = [str(opened.value)]
    if case != "no_server":  # botocore tries for five seconds, once is enough
        listing = expand_sources((url + "/film.mp4",), options)
        assert not listing.missing, "a film is not gone because its store cannot be asked"
        lines += [problem.message for problem in listing.problems]
        assert len(lines) == 2
    for line in lines:
        assert says in line
        assert "\n" not in line
        assert s3.options["AWS_SECRET_ACCESS_KEY"] not in line


def test_the_command_says_so_too(latentreel: Run) -> None:
    done = latentreel("status", "s3://any/d", environment=without_aws(os.environ))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert "s3://any/d: no credentials were found" in done.stderr


def test_films_and_manifests_on_an_object_store(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    store = Store(bucket, s3.options)
    for name in ("new/a.mp4", "new/deep/b.mkv", "new/notes.doc"):
        store.write(name, name.encode())
    store.write("list.txt", b"new/a.mp4\n")
    tables = make_dataset(f"{bucket}/d", [], _job_with(f"{bucket}/d", s3.options))
    found = {}
    for source in ("new", "new/**/*.mkv", "list.txt", "new/a.mp4"):
        plan = plan_videos((f"{bucket}/{source}",), tables)
        assert plan.problems == []
        found[source] = [task.uri.removeprefix(f"{bucket}/new/") for task in plan.todo]
    assert found == {
        "new": ["a.mp4", "deep/b.mkv"],
        "new/**/*.mkv": ["deep/b.mkv"],
        "list.txt": ["a.mp4"],
        "new/a.mp4": ["a.mp4"],
    }
