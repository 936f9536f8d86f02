"""The command's reference, from the Typer application itself."""

from __future__ import annotations

import re
from typing import Any, Final

import typer

from iova import cli_record
from iova.cli import app

#: What is code already, or a sign that means something in Markdown.
_CODE: Final = re.compile(r"(`[^`]*`)|([*_\[\]<>])")


def verbs() -> str:
    """A section a verb: how it is called, what it does, its arguments and options."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_section(name, verb) for name, verb in sorted(group.commands.items()))


def own_options() -> str:
    """The options before the verb."""
    group: Any = typer.main.get_command(app)
    return "\n".join(_option(one) for one in group.params if not one.hidden)


def _section(name: str, verb: Any) -> str:
    shown = [one for one in verb.params if not one.hidden]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    synopsis = " ".join(["iova", name, "[OPTIONS]", *(_metavar(one) for one in arguments)])
    parts = [f"### iova {name}", "", f"`{synopsis}`", "", plain(verb.help), ""]
    parts += [_argument(one) for one in arguments]
    parts += [_option(one) for one in options]
    if name == "record":
        parts += _recorders_options({opt for one in options for opt in one.opts})
    return "\n".join(parts)


def _recorders_options(known: set[str]) -> list[str]:
    """Those of the recorder's own parser, which does without what the other verbs load."""
    parts = []
    for one in cli_record.parser()._actions:
        if one.dest == "help" or known & {*one.option_strings}:
            continue
        names = ", ".join(f"`{opt}`" for opt in one.option_strings)
        value = f" `{one.metavar or one.dest.upper()}`" if one.nargs != 0 else ""
        said = plain((one.help or "") % vars(one))
        begins = said[:1] if one.choices else said[:1].upper()
        parts.append(f"{names}{value}\n: {begins}{said[1:]}.\n")
    return parts


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _argument(argument: Any) -> str:
    return f"`{argument.metavar or argument.name.upper()}`\n: {plain(argument.help)}\n"


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag else f" `{option.metavar or option.name.upper()}`"
    bounds = [
        f"{word} {number}"
        for word, number in (("at least", option.min), ("at most", option.max))
        if number is not None
    ]
    said = [plain(option.help).rstrip(".")]
    if option.default not in (None, False, (), []) and not callable(option.default):
        said.append(f"default {option.default}")
    text = "; ".join([*said, *bounds])
    return f"{names}{value}\n: {text}{'' if text.endswith('?') else '.'}\n"


def plain(text: str | None) -> str:
    """A help text as Markdown that shows it as it stands."""
    if not text:
        raise ValueError("an option or verb without help")
    said = " ".join(text.split())
    return _CODE.sub(lambda found: found[1] or "\\" + found[2], said)
