"""Storage options: one flat dict of strings under the names of delta-rs and Polars, for both halves of the storage.

Films, staged and final files go through fsspec (s3fs, gcsfs, adlfs), tables through delta-rs. Both read the environment
by themselves; options go over it. What only one of the two reads there is handed to the other here.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec

from schemas.errors import WrongUse

Options = Mapping[str, str]


def _truth(text: str) -> bool:
    return text.strip().lower() in {"true", "1", "yes", "on"}


@dataclass(frozen=True)
class _Word:
    """Where fsspec wants an option, as the path into its keyword arguments. None: it needs no such word."""

    place: tuple[str, ...] | None
    read: Callable[[str], Any] = str


@dataclass(frozen=True)
class _Service:
    """One kind of object store. Its options begin with `prefix`."""

    name: str
    prefix: str
    protocols: frozenset[str]
    words: dict[str, _Word]


_S3 = _Service(
    "S3",
    "aws_",
    frozenset({"s3", "s3a"}),
    {
        "aws_access_key_id": _Word(("key",)),
        "aws_secret_access_key": _Word(("secret",)),
        "aws_session_token": _Word(("token",)),
        "aws_region": _Word(("client_kwargs", "region_name")),
        "aws_endpoint_url": _Word(("endpoint_url",)),
        "aws_allow_http": _Word(None),  # fsspec goes by the endpoint's own http://
        "aws_skip_signature": _Word(("anon",), _truth),
        "aws_virtual_hosted_style_request": _Word(
            ("config_kwargs", "s3", "addressing_style"), lambda text: "virtual" if _truth(text) else "path"
        ),
    },
)
_SERVICES = (
    _S3,
    _Service(
        "Google Cloud Storage",
        "google_",
        frozenset({"gs", "gcs"}),
        {
            "google_service_account": _Word(("token",)),  # a file
            "google_service_account_key": _Word(("token",), json.loads),  # what such a file holds
            "google_application_credentials": _Word(("token",)),
            "google_skip_signature": _Word(("token",), lambda text: "anon" if _truth(text) else None),
        },
    ),
    _Service(
        "Azure",
        "azure_",
        frozenset({"az", "abfs", "abfss", "adl"}),
        {
            "azure_storage_account_name": _Word(("account_name",)),
            "azure_storage_account_key": _Word(("account_key",)),
            "azure_storage_sas_token": _Word(("sas_token",)),
            "azure_storage_client_id": _Word(("client_id",)),
            "azure_storage_client_secret": _Word(("client_secret",)),
            "azure_storage_tenant_id": _Word(("tenant_id",)),
        },
    ),
)
_ALIASES = {"aws_default_region": "aws_region", "aws_endpoint_url_s3": "aws_endpoint_url"}
_LOCAL = frozenset({"file", "local"})


def checked_options(options: Options | None) -> dict[str, str]:
    """The options in lower case, each under one name.

    Raises: WrongUse for a name that no store knows. Values never show: they may be secrets.
    """
    found: dict[str, str] = {}
    for given, value in (options or {}).items():
        name = _ALIASES.get(given.lower(), given.lower())
        if name in found:
            raise WrongUse(f"storage option {given}: is given twice, as {name.upper()} too; keep one")
        if not any(name in service.words for service in _SERVICES):
            alike = [service for service in _SERVICES if name.startswith(service.prefix)] or list(_SERVICES)
            known = "; ".join(f"{s.name} takes {', '.join(sorted(s.words)).upper()}" for s in alike)
            raise WrongUse(f"storage option {given}: no such option; {known}")
        found[name] = value
    if "aws_access_key_id" in found and "aws_session_token" not in found and os.environ.get("AWS_SESSION_TOKEN"):
        raise WrongUse(
            "storage option AWS_ACCESS_KEY_ID: the environment has the AWS_SESSION_TOKEN of another key, and delta-rs "
            "would send both; unset it, or give AWS_SESSION_TOKEN as an option too"
        )
    return found


def open_filesystem(url: str, options: Options | None = None) -> tuple[Any, str]:
    """fsspec's file system of a path or URL, and the path in it. Options of other kinds of stores are left out.

    Raises: WrongUse for options that cannot be, an unknown protocol, or one whose package is not installed.
    """
    service = _service_of(url)
    words: dict[str, Any] = {}
    for name, value in _with_environment(service, checked_options(options)).items():
        word = service.words[name] if service else _Word(None)
        if word.place is not None:
            _put(words, word.place, _read(name, word, value))
    if service is _S3:
        words["use_listings_cache"] = False  # what another process has written is seen at once
    try:
        fs, path = fsspec.core.url_to_fs(url, **words)
    except ImportError as err:
        raise WrongUse(f"{url}: {' '.join(str(err).split())}") from err
    except ValueError as err:
        raise WrongUse(f"{url}: {' '.join(str(err).split())}; write a path, s3://, gs:// or another URL") from err
    return fs, path


def delta_options(url: str, options: Options | None = None) -> dict[str, str] | None:
    """What delta-rs takes for tables at a URL.

    Raises: WrongUse where it could not keep several writers apart.
    """
    service = _service_of(url)
    if service is None:
        protocol = _protocol(url)
        if protocol not in _LOCAL:
            raise WrongUse(
                f"{url}: a dataset cannot lie on {protocol}://, where two writers could not be kept apart; choose a "
                "folder, s3://, gs:// or abfs://"
            )
        return None
    found = _with_environment(service, checked_options(options))
    if service is _S3:
        endpoint = found.get("aws_endpoint_url")
        if endpoint is not None:
            found["aws_endpoint_url_s3"] = endpoint  # it goes over the other one, and may be in the environment
            if endpoint.startswith("http://"):
                found.setdefault("aws_allow_http", "true")
        found["aws_conditional_put"] = "etag"  # a commit is put only where nobody else's is: no two can win
    return found


def _with_environment(service: _Service | None, options: dict[str, str]) -> dict[str, str]:
    """The options of this service, over what only one of the two readers of the environment finds there."""
    if service is None:
        return {}
    found = {name: value for name, value in options.items() if name in service.words}
    if service is _S3:
        # botocore does not read AWS_REGION; delta-rs has its own order of these.
        for name, variables in (
            ("aws_region", ("AWS_REGION", "AWS_DEFAULT_REGION")),
            ("aws_endpoint_url", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
            ("aws_allow_http", ("AWS_ALLOW_HTTP",)),
        ):
            value = next((os.environ[variable] for variable in variables if os.environ.get(variable)), None)
            if value is not None:
                found.setdefault(name, value)
    return found


def _service_of(url: str) -> _Service | None:
    return next((service for service in _SERVICES if _protocol(url) in service.protocols), None)


def _protocol(url: str) -> str:
    return url.split("://", 1)[0].lower() if "://" in url else "file"


def _read(name: str, word: _Word, value: str) -> Any:
    try:
        return word.read(value)
    except ValueError as err:
        raise WrongUse(f"storage option {name.upper()}: is not JSON; give what the key's file holds") from err


def _put(words: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for key in place[:-1]:
        words = words.setdefault(key, {})
    words[place[-1]] = value
