"""`xfer prepare` with the texts of a command line."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xfer.datasets.layout import MANIFEST
from xfer.errors import BadFile, BadValue, expect
from xfer.prepare.merge import merge as merge_folders
from xfer.prepare.records import Settings
from xfer.prepare.run import Summary
from xfer.prepare.run import prepare as prepare_sources
from xfer.prepare.shards import read_manifest

__all__ = ["Settings", "merge", "prepare"]


def prepare(
    sources: Sequence[str], out: str | None, settings: Settings, shard: str, **options: Any
) -> Summary:
    """See `xfer.prepare.run.prepare`; `shard` is a text i/n.

    Raises:
        BadFile: Every input was rejected; `merge` raises it, too.
    """
    expect(sources, "name the videos, pictures or folders to prepare")
    expect(out, "say with --out where the clips shall go")
    return _some(prepare_sources(sources, out, settings, share=parse_share(shard), **options))


def merge(folders: Sequence[str], out: str | None) -> Summary:
    """See `xfer.prepare.merge.merge`; `--out` alone names the one folder, too."""
    return _some(merge_folders([Path(folder) for folder in folders or filter(None, [out])], out))


def _some(summary: Summary) -> Summary:
    """A summary that tells of something to use; a single share may be all bad."""
    if not summary.is_share and summary.bad and not summary.good:
        path = summary.folder / MANIFEST
        reasons = Counter(line["reason"] for line in read_manifest(summary.folder))
        (reason, count) = reasons.most_common(1)[0]
        raise BadFile(
            f"every input was rejected, {count} of {summary.bad} since: {reason}. {path} has the "
            "reasons of all"
        )
    return summary


def parse_share(text: str) -> tuple[int, int]:
    """`i/n` as two numbers."""
    try:
        i, n = map(int, text.split("/"))
    except ValueError:
        raise BadValue(f"a share is written i/n, such as 0/8; got '{text}'") from None
    return i, n
