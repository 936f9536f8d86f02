"""``python -m iova``, and the command ``iova``.

With numpy alone only ``iova list`` and ``iova --version`` work; the other verbs need the
packages of ``iova[lab]`` and say so.
"""

from __future__ import annotations

import importlib.util
import sys

#: Packages of the extra ``lab`` that the command itself needs.
LAB_PACKAGES = ("polars", "typer", "rich", "zstandard")

#: Extras that bring a verb, where ``lab`` does not.
EXTRAS = {"tune": "tune", "top": "lab,live"}


def main() -> None:
    """Run the command with the arguments of this process."""
    if sys.argv[1:2] == ["record"]:  # needs none of the packages, and often has no time for them
        from iova import cli_record

        sys.exit(cli_record.main(sys.argv[2:]))
    missing = [name for name in LAB_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(_run_bare(sys.argv[1:], missing))
    try:
        from iova.cli import run
    except KeyboardInterrupt:  # loading the packages takes half a second
        print("iova: stopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(run())


def _run_bare(arguments: list[str], missing: list[str]) -> int:
    from iova.designs import builtin_designs
    from iova.version import version_text

    if arguments == ["--version"]:
        print(version_text())
        return 0
    if arguments in (["list"], ["list", "designs"]):
        print("\n".join(f"{design.name:<12} {design.summary}" for design in builtin_designs()))
        return 0
    verb = next((word for word in arguments if not word.startswith("-")), "")
    extra = EXTRAS.get(verb, "lab")
    print(
        f"iova: {f'iova {verb}' if verb else 'the command iova'} needs {', '.join(missing)}:"
        f" install it with  pip install 'iova[{extra}]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    main()
