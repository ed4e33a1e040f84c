"""A real S3 server on loopback for tests: moto's, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from ofb_ray.train.rendezvous import free_address

BUCKET = "bucket"
_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@contextlib.contextmanager
def server(
    checks_credentials: bool = False, host: str = "127.0.0.1", through: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """The environment variables that reach a fresh server with an empty bucket.

    Args:
        through: a command that runs it, such as `ip netns exec NAME`.
    """
    # An address of another name space cannot be tried from here.
    address = free_address("127.0.0.1" if through else host).replace("127.0.0.1", host)
    environment = {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    # The calls that make the user go unchecked; from then on moto checks every signature.
    checking = {"INITIAL_NO_AUTH_ACTION_COUNT": "3"} if checks_credentials else {}
    code = f"from moto.server import main; main(['-H', '{host}', '-p', '{address.rpartition(':')[2]}'])"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*through, sys.executable, "-c", code], env={**os.environ, **checking}, **quiet)
    try:
        _wait_for(environment["AWS_ENDPOINT_URL"] + "/moto-api/")
        if checks_credentials:
            environment |= _user(client("iam", environment))
        client("s3", environment).create_bucket(Bucket=BUCKET)
        yield environment
    finally:
        process.kill()
        process.wait()


def client(service: str, environment: dict[str, str]) -> Any:
    """A boto3 client of the server."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def _user(iam: Any) -> dict[str, str]:
    iam.create_user(UserName="sweeper")
    iam.put_user_policy(UserName="sweeper", PolicyName="all", PolicyDocument=json.dumps(_POLICY))
    key = iam.create_access_key(UserName="sweeper")["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _wait_for(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, "the S3 server did not start"
            time.sleep(0.1)
