"""Open the store of a URI: its bucket, its endpoint, who may read it."""

from __future__ import annotations

import configparser
import os
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ofb_ray.errors import InputError
from ofb_ray.results.objects import CloudObjects, FolderObjects, Objects, message_of

# A store that is busy is asked again by obstore for so long; what is worth more patience is tried again by its caller.
_RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=15)}
_CLIENT: Any = {"connect_timeout": "5s", "timeout": "300s"}
_S3_OPTIONS = ("endpoint_override", "scheme", "region")
_KNOWN = "known are s3://, gs:// and file://, or give a folder"


def open_objects(uri: str) -> Objects:
    """Open the store of a URI, at the prefix that it names. Nothing is sent but the question where a bucket is.

    Raises:
        InputError: no store is known for the URI, or it is not complete.
    """
    base, _, query = uri.partition("?")
    scheme, _, path = base.partition("://")
    options = dict(parse_qsl(query))
    if scheme == "file":
        if not path.startswith("/"):
            raise InputError(f"{uri!r} names no folder: write file:///path, or give a folder", key="storage")
        return FolderObjects(Path(path))
    if scheme not in ("s3", "gs", "gcs"):
        raise InputError(f"{uri!r} cannot be opened; {_KNOWN}", key="storage")
    bucket, _, prefix = path.partition("/")
    known = _S3_OPTIONS if scheme == "s3" else ()
    unknown = [key for key in options if key not in known]
    if not bucket or unknown:
        problem = f"?{unknown[0]}= is unknown" if unknown else "it names no bucket"
        raise InputError(f"{uri!r} cannot be opened ({problem}); {_KNOWN}", key="storage")
    try:
        store = _s3(bucket, prefix, options) if scheme == "s3" else _gcs(bucket, prefix)
    except Exception as error:  # obstore's own, of a configuration that it cannot use
        raise InputError(f"{uri!r} cannot be opened ({message_of(error)})", key="storage") from None
    return CloudObjects(store)


def _s3(bucket: str, prefix: str, options: dict[str, str]) -> Any:
    from obstore.store import S3Store

    config: Any = _profile()
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if "endpoint_override" in options:
        endpoint = config["endpoint"] = f"{options.get('scheme', 'https')}://{options['endpoint_override']}"
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    config["region"] = region or config.get("region") or (_region(bucket) if not endpoint else "us-east-1")
    client: Any = {**_CLIENT, "allow_http": endpoint.startswith("http://")}
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=client, retry_config=_RETRY)


def _gcs(bucket: str, prefix: str) -> Any:
    from obstore.store import GCSStore

    return GCSStore(bucket, prefix=prefix or None, client_options=_CLIENT, retry_config=_RETRY)


def _profile() -> dict[str, Any]:
    """Read the keys of the profile that the AWS tools would take, where the environment has none.

    Without either obstore asks the machine for its role.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    files = {
        "credentials": os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials",
        "config": os.environ.get("AWS_CONFIG_FILE") or Path.home() / ".aws" / "config",
    }
    profile = os.environ.get("AWS_PROFILE") or "default"
    found: dict[str, str] = {}
    for kind, file in files.items():
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file)
        except (OSError, configparser.Error, UnicodeDecodeError):
            continue
        section = profile if kind == "credentials" or profile == "default" else f"profile {profile}"
        if parser.has_section(section):
            found = {**dict(parser[section]), **found}
    names = {
        "aws_access_key_id": "access_key_id",
        "aws_secret_access_key": "secret_access_key",
        "aws_session_token": "session_token",
        "region": "region",
    }
    return {ours: found[theirs] for theirs, ours in names.items() if theirs in found}


def _region(bucket: str) -> str:
    """Ask AWS where a bucket is; where nobody answers, the first request will say what is wrong."""
    request = urllib.request.Request(f"https://{bucket}.s3.amazonaws.com", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        headers = error.headers
    except (OSError, ValueError):
        return "us-east-1"
    return str(headers.get("x-amz-bucket-region") or "us-east-1")
