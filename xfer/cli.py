"""`xfer` on the command line: one table of verbs, each a function whose arguments are the flags.

A verb's module is imported when it is called; dataclasses among its arguments are flattened into
flags. A training's `--preset NAME` gives the defaults that further flags override.
"""

import argparse
import importlib
import inspect
import os
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, NamedTuple

import tyro

from xfer import __doc__ as about
from xfer import __version__
from xfer.errors import BadValue, Stopped, XferError


class Verb(NamedTuple):
    """Where a command's function is."""

    module: str
    function: str
    summary: str
    bare: str = ""
    """The flag that words before all flags belong to."""


VERBS = {
    "transfer": Verb("pipeline_outputs", "transfer", "an identity with the motion of drivers"),
    "reenact": Verb("pipeline_outputs", "reenact", "the same as a video, of a video or camera"),
    "prepare": Verb(
        "data.prepare", "prepare", "aligned clips out of videos, images, folders", "--inputs"
    ),
    "synthesize": Verb("data.synthesize", "synthesize", "people and clips out of the generator"),
    "train generator": Verb("training.train_generator", "train_generator", "StyleGAN2"),
    "train inverter": Verb("training.train_inverter", "train_inverter", "photos to W+"),
    "train transfer": Verb("training.train_transfer", "train_transfer", "motion encoder, mapper"),
    "train control": Verb("training.train_control", "train_control", "factors to moves in W+"),
    "train recogniser": Verb("training.train_recogniser", "train_recogniser", "of identities"),
    "evaluate": Verb("evaluation", "evaluate", "a model on drivers and identities"),
    "notebooks run": Verb("notebooks", "run", "the numbered notebooks, in order", "--names"),
    "weights list": Verb("assets", "listing", "files known by name, licence and origin"),
    "weights fetch": Verb("assets", "fetch", "get and check files that are not shipped", "--names"),
    "weights verify": Verb(
        "assets", "verify", "compare fetched files with their sha256", "--names"
    ),
    "weights convert": Verb("weights", "convert", "a checkpoint as our safetensors", "--path"),
}

ALIASES = {"--source": "--driver", "--target": "--identity", "--from": "--start"}
"""The paper's words, and what Python does not allow as a name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error that xfer raises on purpose is one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console of few letters shows what it can
    if os.environ.get("MPLBACKEND", "").startswith("module:"):
        os.environ["MPLBACKEND"] = "agg"  # that of the notebook we were called from
    try:
        return run(list(sys.argv[1:] if arguments is None else arguments))
    except Stopped as error:
        print(f"xfer: {error}", file=sys.stderr)
        return 130
    except XferError as error:
        print(f"xfer: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("xfer: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def run(arguments: list[str]) -> int:
    """Find the verb, parse its flags, call it, print what it returns."""
    if arguments[:1] == ["--version"]:
        print(f"xfer {__version__}")
        return 0
    words = next((n for n in (2, 1) if " ".join(arguments[:n]) in VERBS), 0)
    if not words:
        print(usage(arguments[0] if arguments else ""))
        return 0 if not arguments or set(arguments) & {"-h", "--help"} else 2
    name = " ".join(arguments[:words])
    verb = VERBS[name]
    flags = arguments[words:]
    function = getattr(importlib.import_module(f"xfer.{verb.module}"), verb.function)
    preset = None
    if name.startswith("train "):
        chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        chooser.add_argument("--preset")
        chosen, flags = chooser.parse_known_args(flags)
        preset = _preset(verb.function, chosen.preset) if chosen.preset else None
    call = _flagged(function, preset)
    bare = f" Words before all flags are {verb.bare}." if verb.bare else ""
    described = f"{inspect.getdoc(function) or verb.summary}".split("\n\n")[0] + bare
    flags = gathered(flags, verb.bare)
    result = tyro.cli(call, prog=f"xfer {name}", args=flags, description=described)
    for line in result if isinstance(result, (list, tuple, Iterator)) else [result]:
        if isinstance(line, (str, os.PathLike)):
            print(line, flush=True)
    return 0


def usage(word: str) -> str:
    """The verbs, or those that begin with a word such as `train`."""
    verbs = {k: v for k, v in VERBS.items() if k.split()[0] == word} or VERBS
    lines = [f"    xfer {name:17} {verb.summary}" for name, verb in verbs.items()]
    return "\n".join([str(about), "", *lines, "", "xfer VERB --help shows a verb's flags."])


def gathered(arguments: Sequence[str], bare: str = "") -> list[str]:
    """Flags under one name each, repeated ones with all of their values.

    `--driver a b` and `--driver a --source b` are the same; the parser knows the first only.

    Args:
        bare: The flag that words before all flags belong to.
    """
    groups: dict[str, list[str]] = {}
    values = groups.setdefault(bare, [])
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if argument in ("-h", "--help"):
            return [argument]
        if flag.startswith("--") and len(flag) > 2:
            flag = flag.replace("_", "-")
            values = groups.setdefault(ALIASES.get(flag, flag), [])
            values += [value] if equals else []
        else:
            values.append(argument)
    words = groups.pop(bare)
    words = [bare, *words] if words and bare else words
    return words + [word for flag, values in groups.items() for word in (flag, *values)]


def _preset(function: str, name: str) -> Any:
    """A training's configuration by name, such as the toy of GENERATOR_PRESETS."""
    from xfer.training import config

    presets = getattr(config, f"{function.removeprefix('train_').upper()}_PRESETS", {})
    if name not in presets:
        raise BadValue(f"presets are {', '.join(presets) or 'not defined here'}; got '{name}'")
    return presets[name]


def _flagged(function: Callable, preset: Any = None) -> Callable:
    """A function whose signature tyro turns into flat flags.

    Args:
        preset: Default of the dataclass among the arguments.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind):
            kind = Annotated[kind, tyro.conf.arg(name="")]
            parameter = parameter if preset is None else parameter.replace(default=preset)
        elif parameter.name == "folder":
            kind = Annotated[kind, tyro.conf.arg(name="out")]
        parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))

    def call(**values: Any) -> Any:
        return function(**values)

    call.__dict__.pop("__wrapped__", None)  # a checker of types may have wrapped it
    call.__signature__ = inspect.Signature(parameters)
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__doc__ = function.__doc__
    return call
