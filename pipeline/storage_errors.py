"""What a storage says, as one line with the cure. Sorted by the kind of the error, never by its words."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import WrongUse

# What S3 and those who speak like it call it, with what to do. Most arrive as the cause of an OSError of s3fs.
_CURES = {
    "NoSuchBucket": "there is no such bucket; make it first, or check its name and AWS_ENDPOINT_URL",
    "InvalidAccessKeyId": "the store does not know this key; check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "the key and its secret do not belong together; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired; get new ones",
    "InvalidToken": "the store does not take this AWS_SESSION_TOKEN; it belongs to another key, or has expired",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
}
_NO_CREDENTIALS = (
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or give them as "
    "storage options"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # delta-rs paints the tree of causes


@contextmanager
def as_wrong_use(url: str) -> Iterator[None]:
    """Raises WrongUse in place of what a storage raises that cannot be reached, or does not let us in."""
    try:
        yield
    except Exception as err:
        line = storage_trouble(err)
        if line is None:
            raise
        raise WrongUse(f"{url}: {line}") from err


def storage_trouble(err: BaseException) -> str | None:
    """What is wrong and the cure. None for what is no trouble of a storage."""
    if (code := code_of(err)) in _CURES:
        return _CURES[code]
    if isinstance(err, OSError):
        return _refusal(err, code)
    botocore = sys.modules.get("botocore.exceptions")  # where it is not loaded, nobody raised its errors
    if botocore is None or not isinstance(err, botocore.BotoCoreError):
        return None
    if isinstance(err, botocore.NoCredentialsError | botocore.PartialCredentialsError):
        return _NO_CREDENTIALS
    if isinstance(err, botocore.HTTPClientError | botocore.ConnectionError):
        where = str(err.kwargs.get("endpoint_url") or "the store").split("?", 1)[0]
        return f"nobody answers at {where}; check AWS_ENDPOINT_URL and the network"
    return one_line(err)


def _refusal(err: OSError, code: str | None) -> str:
    """Takes: the store's own code, None where it is a local folder or does not say."""
    if code is not None and isinstance(err, PermissionError):
        return f"the store refuses access ({code}); check the credentials, and what they may do there"
    if code is None and err.strerror:
        return f"{err.strerror.lower()}; check the path and its permissions"
    return "no such file or folder; check the path" if isinstance(err, FileNotFoundError) else one_line(err)


def one_line(err: BaseException) -> str:
    """Its words without line breaks and colours."""
    return " ".join(_COLOUR.sub("", str(err)).split()) or type(err).__name__


def code_of(err: BaseException | None) -> str | None:
    """The code in an object store's own answer, as `NoSuchBucket`. None where it gave none."""
    while err is not None:
        response = getattr(err, "response", None)
        if isinstance(response, dict):
            code: str | None = response.get("Error", {}).get("Code")
            return code
        err = err.__cause__
    return None
