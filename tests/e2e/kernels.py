"""Debian's kernel packages, unpacked and not installed."""

from __future__ import annotations

import lzma
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILD: Final = Path(__file__).parent.parent.parent / "build" / "e2e"

#: Names of packages for each series, newest version first taken. Security and cloud kernels of
#: the same series have other names and do not match.
_PACKAGES: Final = {
    "6.1": r"linux-image-6\.1\.\d+-\d+-amd64",
    "6.12": r"linux-image-6\.12\.\d+(\+deb|\+bpo)\d+-amd64",
}

#: apt as root would download as a user of its own, which can not write into the build folder.
_AS_ROOT: Final = ("-o", "APT::Sandbox::User=root")


class NoKernelError(Exception):
    """A kernel's package can not be had."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package."""

    series: str  #: "6.1"
    root: Path  #: where the package was unpacked

    @property
    def release(self) -> str:
        """As `uname -r` says it."""
        (image,) = (self.root / "boot").glob("vmlinuz-*")
        return image.name.removeprefix("vmlinuz-")

    @property
    def image(self) -> Path:
        """The kernel itself."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    def module_files(self, names: Iterable[str]) -> list[tuple[str, bytes]]:
        """The named modules and what they need, in an order in which they can be inserted.

        A name that this kernel has built in, or does not have, is passed over.
        """
        folder = self.root / "lib" / "modules" / self.release
        needs = _dependencies(folder)
        by_name = {_module_name(path): path for path in needs}
        ordered: dict[str, None] = {}

        def add(path: str) -> None:
            for needed in needs[path]:
                add(needed)
            ordered.setdefault(path)

        for name in names:
            if (path := by_name.get(name)) is not None:
                add(path)
        return [(f"{_module_name(path)}.ko", _module(folder / path)) for path in ordered]


def kernel(series: str) -> Kernel:
    """The newest kernel of a series, downloaded by apt unless it was before.

    Raises:
        NoKernelError: apt does not know such a package, or can not fetch it.
    """
    known = sorted(BUILD.glob(f"kernel-{series}/*/boot/vmlinuz-*"))
    if known:
        return Kernel(series, known[-1].parent.parent)
    package, options = _find(series)
    folder = BUILD / f"kernel-{series}" / package
    _unpack(package, options, folder, prepare=_index_modules)
    return Kernel(series, folder)


def busybox() -> Path:
    """Debian's static busybox; not installed, for it would drive out the ordinary one."""
    folder = BUILD / "busybox-static"
    if not folder.exists():
        _unpack("busybox-static", [], folder)
    return folder / "bin" / "busybox"


def _unpack(
    package: str, options: list[str], folder: Path, prepare: Callable[[Path], None] | None = None
) -> None:
    """Download a package and leave its files in a folder, which is there only when complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fetched = Path(name)
        _run(["apt-get", "-q", *_AS_ROOT, *options, "download", package], fetched)
        (file,) = fetched.glob("*.deb")
        _run(["dpkg-deb", "-x", str(file), "files"], fetched)
        if prepare:
            prepare(fetched / "files")
        (fetched / "files").rename(folder)


def _index_modules(root: Path) -> None:
    """Write modules.dep, which a package leaves to its installation."""
    for folder in (root / "lib" / "modules").iterdir():
        _run(["/sbin/depmod", "-b", str(root), folder.name], root)


def _find(series: str) -> tuple[str, list[str]]:
    """The newest package of a series, and the options under which apt knows it."""
    if package := _newest(series, []):
        return package, []
    options = _backports()
    if package := _newest(series, options):
        return package, options
    raise NoKernelError(f"apt knows no kernel {series}; `apt-get update` first")


def _newest(series: str, options: list[str]) -> str | None:
    known = _run(["apt-cache", *options, "pkgnames", f"linux-image-{series}."], Path("/"))
    names = [
        name
        for name in known.split()
        if re.fullmatch(_PACKAGES[series], name)
        # apt-cache also names what another package merely mentions.
        and "Candidate: (none)" not in _run(["apt-cache", *options, "policy", name], Path("/"))
    ]
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], default=None)


def _backports() -> list[str]:
    """Options under which apt reads the backports suite of the mirror that it uses anyway."""
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    suite = release.get("VERSION_CODENAME", "")
    asked = ["apt-get", "indextargets", "--format", "$(RELEASE)|$(REPO_URI)"]
    rows = [line.split("|") for line in _run(asked, Path("/")).splitlines()]
    mirror = next((row for row in rows if suite and row[0] == suite), None)
    if mirror is None:
        raise NoKernelError(f"apt reads no Debian suite {suite}, so its backports are unknown")
    folder = BUILD / "apt"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources.list").write_text(
        f"deb [signed-by={keys}] {mirror[1]} {suite}-backports main\n"
    )
    options = [
        *("-o", f"Dir::Etc::sourcelist={folder / 'sources.list'}", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"),
    ]
    _run(["apt-get", "-q", *_AS_ROOT, *options, "update"], folder)
    return options


def _dependencies(folder: Path) -> dict[str, list[str]]:
    lines = (folder / "modules.dep").read_text().splitlines()
    return {path: needed.split() for path, _, needed in (line.partition(":") for line in lines)}


def _module_name(path: str) -> str:
    return Path(path).name.split(".")[0].replace("-", "_")


def _module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoKernelError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout
