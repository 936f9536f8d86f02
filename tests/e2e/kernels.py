"""Debian's kernel packages, unpacked and not installed."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILD: Final = Path(__file__).parent.parent.parent / "build" / "e2e"

#: Names of packages for each series, newest version first taken. Security and cloud kernels of
#: the same series have other names and do not match.
_PACKAGES: Final = {
    "6.1": r"linux-image-6\.1\.\d+-\d+-amd64",
    "6.12": r"linux-image-6\.12\.\d+\+deb\d+-amd64",
}


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
    package = _newest(series)
    folder = BUILD / f"kernel-{series}"
    unpacked, fetched = folder / package, folder / "fetched"
    shutil.rmtree(folder, ignore_errors=True)
    fetched.mkdir(parents=True)
    _run(["apt-get", "-q", "download", package], fetched)
    (file,) = fetched.glob("*.deb")
    temporary = folder / "unpacking"
    _run(["dpkg-deb", "-x", str(file), str(temporary)], folder)
    _index_modules(temporary)
    temporary.rename(unpacked)
    shutil.rmtree(fetched)
    return Kernel(series, unpacked)


def _index_modules(root: Path) -> None:
    """Write modules.dep, which a package leaves to its installation."""
    for folder in (root / "lib" / "modules").iterdir():
        _run(["/sbin/depmod", "-b", str(root), folder.name], root)


def _newest(series: str) -> str:
    said = _run(["apt-cache", "pkgnames", f"linux-image-{series}."], BUILD.parent.parent)
    names = [name for name in said.split() if re.fullmatch(_PACKAGES[series], name)]
    if not names:
        raise NoKernelError(f"apt knows no kernel {series}; `apt-get update` first")
    return max(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])


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
