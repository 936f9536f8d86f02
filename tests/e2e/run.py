"""Boot a kernel and run a script in it: ``python -m tests.e2e.run --kernel 6.12 SCRIPT``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.e2e.guest import GuestError, Machine, run
from tests.e2e.kernels import BUILD, NoKernelError, kernel


def main() -> int:
    """Do what the command line says; the exit status is 1 if the guest failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.run", description=__doc__)
    parser.add_argument("script", type=Path, help="bash; its folder is the share, at /mnt/share")
    parser.add_argument("--kernel", default="6.12", choices=("6.1", "6.12"))
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB")
    parser.add_argument("--words", default="iommu.strict=0", help="more words for the kernel")
    parser.add_argument("--share", type=Path, default=BUILD / "share", help="(%(default)s)")
    parser.add_argument("--timeout", type=float, default=300, metavar="S")
    options = parser.parse_args()
    try:
        run(
            kernel(options.kernel),
            options.script.read_text(),
            options.share.absolute(),
            machine=Machine(options.cpus, options.memory, options.words),
            timeout_s=options.timeout,
            console=sys.stdout,
        )
    except (GuestError, NoKernelError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
