"""`xfer prepare` with the texts of a command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xfer.errors import BadValue, expect
from xfer.prepare.merge import merge as merge_folders
from xfer.prepare.records import Settings
from xfer.prepare.run import Summary
from xfer.prepare.run import prepare as prepare_sources

__all__ = ["Settings", "merge", "prepare"]


def prepare(
    sources: Sequence[str], out: str | None, settings: Settings, shard: str, **options: Any
) -> Summary:
    """See `xfer.prepare.run.prepare`; `shard` is a text i/n."""
    expect(sources, "name the videos, pictures or folders to prepare")
    expect(out, "say with --out where the clips shall go")
    return prepare_sources(sources, out, settings, share=parse_share(shard), **options)


def merge(folders: Sequence[str], out: str | None) -> Summary:
    """See `xfer.prepare.merge.merge`; `--out` alone names the one folder, too."""
    return merge_folders([Path(folder) for folder in folders or filter(None, [out])], out)


def parse_share(text: str) -> tuple[int, int]:
    """`i/n` as two numbers."""
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        raise BadValue(f"a share is written i/n, such as 0/8; got '{text}'") from None
    return i, n
