"""Files out of a package on PyPI, through pip, checked by SHA-256 twice: the package and each file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


class FetchError(Exception):
    """A download that failed, or content that is not what it should be."""


@dataclass(frozen=True)
class Package:
    """A wheel, or an archive of sources, at one version."""

    name: str
    version: str
    sha256: str
    sources: bool = False

    def read(self, members: dict[str, str]) -> dict[str, bytes]:
        """The contents of the members with these hashes. Dependencies are not installed, and neither is the package."""
        with tempfile.TemporaryDirectory(prefix="fetch-") as folder:
            # pip holds the hash against what it downloads, whichever index it is set up to ask.
            requirements = Path(folder) / "requirements.txt"
            requirements.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
            command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
            command += ["--no-binary" if self.sources else "--only-binary", ":all:"]
            command += ["--dest", folder, "--requirement", str(requirements)]
            if subprocess.run(command).returncode != 0:
                raise FetchError(f"pip could not download {self.name}=={self.version} (its words stand above); this "
                                 "needs network access to PyPI, and pip: on Debian the package python3-pip")
            kind, pattern = ("source archives", "*.tar.gz") if self.sources else ("wheels", "*.whl")
            archives = list(Path(folder).glob(pattern))
            if len(archives) != 1:
                raise FetchError(f"pip left {len(archives)} {kind} of {self.name}, required: 1")
            check(f"the archive of {self.name}", sha256_of_file(archives[0]), self.sha256)
            contents = self._contents(archives[0], members)
        for member, content in contents.items():
            check(member, hashlib.sha256(content).hexdigest(), members[member])
        return contents

    def _contents(self, archive: Path, members: dict[str, str]) -> dict[str, bytes]:
        if self.sources:
            with tarfile.open(archive) as opened:
                return {member: opened.extractfile(member).read() for member in members}
        with zipfile.ZipFile(archive) as opened:
            return {member: opened.read(member) for member in members}


@dataclass(frozen=True)
class PackagedFile:
    """A member of a wheel, at one version of its package."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str

    def download(self) -> bytes:
        """The member's content."""
        wheel = Package(self.package, self.version, self.wheel_sha256)
        return wheel.read({self.member: self.member_sha256})[self.member]


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
