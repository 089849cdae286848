"""What a file is, picture or video, by its content before its name."""

from pathlib import Path

from xfer.media import pictures, video

SIDECARS = (
    ".txt", ".json", ".jsonl", ".csv", ".md", ".parquet", ".npy", ".npz", ".xml", ".srt", ".log",
    ".sha256", ".yml", ".yaml", ".html", ".pdf", ".py", ".zip", ".tar", ".gz",
)  # fmt: skip


def kind_of(path: Path) -> str | None:
    """'picture' or 'video', by content before name; None for what is neither."""
    suffix = path.suffix.lower()
    if suffix in SIDECARS:
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError:
        head = b""
    by_content = _kind_of_bytes(head)
    if by_content:
        return by_content
    if suffix in pictures.SUFFIXES:
        return "picture"
    return "video" if suffix in video.SUFFIXES else None


def _kind_of_bytes(head: bytes) -> str | None:
    """What the first bytes of a file give away."""
    starts = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
    if head.startswith(starts) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "picture"
    if head[4:8] == b"ftyp":
        return "picture" if head[8:12] in (b"avif", b"avis", *pictures.HEIF) else "video"
    if head[:4] == b"\x1a\x45\xdf\xa3" or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return "video"
    return None
