"""``python -m iova``, and the command ``iova``.

With numpy alone only ``iova list`` and ``iova --version`` work; the other verbs need the
packages of ``iova[lab]`` and say so.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys

#: Packages of the extra ``lab`` that the command itself needs.
LAB_PACKAGES = ("polars", "typer", "rich", "zstandard")

#: Extras that bring a verb, where ``lab`` does not.
EXTRAS = {"tune": "tune", "top": "lab,live"}


def main() -> None:
    """Run the command with the arguments of this process."""
    _make_streams_usable()
    try:
        status = _run(sys.argv[1:])
    except KeyboardInterrupt:  # loading the packages takes half a second
        print("iova: stopped", file=sys.stderr)
        status = 130
    sys.exit(status)


def _make_streams_usable() -> None:
    """Streams that the caller closed swallow what they get; the others can write any character."""
    # Else the next file that is opened gets the number of a standard stream.
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(null, True)
    os.close(null)
    for name in ("stdout", "stderr"):  # who reads standard input says that it is closed
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["record"]:  # needs none of the packages, and often has no time for them
        from iova import cli_record

        return cli_record.main(arguments[1:])
    missing = [name for name in LAB_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return _run_bare(arguments, missing)
    from iova.cli import run

    return run()


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
