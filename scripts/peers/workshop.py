"""Where peers are installed, built and run: everything lies under one folder that git ignores."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from .measurement import Unavailable


class Workshop:
    """The folder, and the clients of the package registries that fill it."""

    def __init__(self, repository: Path):
        self.repository = repository
        self.folder = repository / "target" / "peers"
        self.folder.mkdir(parents=True, exist_ok=True)

    def cargo_build(self, library: str, features_of_machine: bool = True) -> None:
        """Builds the program of a library in release mode, by the lock file and toolchain that lie beside it."""
        source = self.repository / "scripts" / "peers" / library
        if shutil.which("cargo") is None:
            raise Unavailable("needs Rust; install it with rustup")
        toolchain = source / "rust-toolchain.toml"
        channel = re.search(r'channel = "(.*)"', toolchain.read_text()) if toolchain.exists() else None
        if channel and not self._has_toolchain(channel[1]):
            remedy = f"`rustup toolchain install {channel[1]}` brings it"
            raise Unavailable(f"needs the {channel[1]} toolchain of Rust; {remedy}")
        flags = "-C target-cpu=native" if features_of_machine else ""
        environment = {"CARGO_TARGET_DIR": str(self.folder / library), "RUSTFLAGS": flags}
        self._run(["cargo", "build", "--release", "--locked"], f"build the program of {library}", source, environment)

    def program(self, library: str, name: str) -> str:
        """The program that `cargo_build` made."""
        return str(self.folder / library / "release" / name)

    def python(self, library: str) -> str:
        """The interpreter of a library's virtual environment."""
        return str(self.folder / library / "bin" / "python")

    def install(self, library: str, python: str, packages: list[str]) -> None:
        """Makes a virtual environment with a Python of the given version, such as 3.10, and pinned packages."""
        marker = self.folder / library / "installed"
        if marker.exists() and marker.read_text() == "\n".join(packages):
            return
        interpreter = find_python(python)
        target = self.folder / library
        self._run([interpreter, "-m", "venv", "--clear", str(target)], f"make an environment for {library}")
        installation = [self.python(library), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self._run([*installation, *packages], f"install {' '.join(packages)}")
        marker.write_text("\n".join(packages))

    def unpack_wheel(self, library: str, requirement: str, options: list[str]) -> Path:
        """Downloads one wheel without what it depends on, and unpacks it beside the environment."""
        target = self.folder / library / "wheel"
        marker = target / "unpacked"
        if not (marker.exists() and marker.read_text() == requirement):
            shutil.rmtree(target, ignore_errors=True)
            download = [self.python(library), "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            self._run([*download, "--no-deps", *options, "-d", str(target), requirement], f"download {requirement}")
            for wheel in target.glob("*.whl"):
                zipfile.ZipFile(wheel).extractall(target)
            marker.write_text(requirement)
        return target

    def _has_toolchain(self, channel: str) -> bool:
        listed = subprocess.run(["rustup", "toolchain", "list"], capture_output=True, text=True, check=False)
        return any(line.startswith(channel) for line in listed.stdout.splitlines())

    def _run(
        self, arguments: list[str], purpose: str, directory: Path | None = None, environment: dict | None = None
    ) -> None:
        """Runs a command quietly; its failure makes the library unavailable, in the command's own last words."""
        done = subprocess.run(
            arguments,
            cwd=directory or self.repository,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"cannot {purpose}: {last_words(done.stderr)}")


def find_python(version: str) -> str:
    """A Python interpreter of the given version, on the path or among pyenv's."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *versions.glob(f"{version}.*/bin/python{version}")]
    for candidate in filter(None, candidates):
        # The stand-ins that pyenv puts on the path exist for versions that are not active, too, and then fail.
        probe = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False)
        if probe.returncode == 0:
            return str(candidate)
    raise Unavailable(f"needs CPython {version} (python{version}), for which its wheel is built; install it, too")


def last_words(text: str) -> str:
    """The last line that says anything, preferably that of an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1]
