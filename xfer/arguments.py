"""What is typed on the command line, before it is parsed."""

from collections.abc import Sequence

PLURAL = {
    name: flags[0]
    for flags in (
        ("--set",), ("--driver", "--source"), ("--identity", "--target"), ("--only",),
        ("--weights",), ("--variants",),
    )
    for name in flags
}  # fmt: skip
"""Flags that may take several values, by every name they go by."""


def gathered(arguments: Sequence[str]) -> list[str]:
    """Arguments in which a repeated flag stands once, with all of its values.

    `--set a=1 b=2` and `--set a=1 --set b=2` are the same, and may be mixed: the parser knows the
    first form only and would keep the last flag's values without a word.
    """
    found: dict[str, list[str]] = {}
    rest: list[str | list[str]] = []
    values: list[str | list[str]] = rest
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in PLURAL:
            values = rest if argument.startswith("-") else values
            values.append(argument)
            continue
        flag = PLURAL[name]
        if flag not in found:
            found[flag] = [name]
            rest.append(found[flag])
        values = found[flag]
        values += [value] if equals else []
    return [word for part in rest for word in (part if isinstance(part, list) else [part])]
