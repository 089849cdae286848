"""Fetching public checkpoint files into the user's cache, checked before they get their name."""

import http.client
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from xfer.errors import BadFile, MissingFile, XferError, expect
from xfer.files import records, registry
from xfer.files.reading import read_checkpoint
from xfer.files.registry import PublicFile
from xfer.runs import atomic

REACHABLE_SECONDS = 8.0
"""How long a host may take to answer before it counts as out of reach."""


def fetch(name: str) -> Path:
    """Fetch a public file into the user's cache and check it; a fetched one is only checked.

    Raises:
        BadValue: No such name.
        MissingFile: Its host cannot be reached; the message tells how to do it by hand.
        BadFile: What came is not the file that was meant.
    """
    if name in registry.shipped():
        return read_checkpoint(name).path
    names = ", ".join(registry.PUBLIC)
    expect(name in registry.PUBLIC, f"public files are {names}; got {name!r}")
    item, place = registry.PUBLIC[name], registry.place(name)
    if place.exists():
        if not records.check(place):  # put there by hand
            admit(place, item, place)
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    _expect_reachable(name, item)
    with atomic(place) as temporary:
        try:
            _download(item, temporary)
        except XferError:
            raise
        except Exception as error:  # the clients raise their own kinds
            raise MissingFile(_by_hand(name, item, str(error))) from error
        admit(temporary, item, place)
    return place


def _download(item: PublicFile, path: Path) -> None:
    if item.drive_id:
        import gdown

        gdown.download(id=item.drive_id, output=str(path), timeout=30)
        if not path.exists():
            raise MissingFile("Google Drive sent nothing")
        return
    import pooch

    pooch.get_logger().setLevel("WARNING")
    client = pooch.HTTPDownloader(progressbar=True, timeout=30)
    pooch.retrieve(item.url, None, path.name, path.parent, downloader=client)


def admit(path: Path, item: PublicFile, place: Path) -> str:
    """Check what came against what is known of it, and record its sha256 beside `place`."""
    digest, size = records.sha256(path), path.stat().st_size
    for what, found, wanted in (("sha256", digest, item.sha256), ("size", size, item.size)):
        if wanted and found != wanted:
            raise BadFile(f"{item.address} sent another file: {what} {found}, not {wanted}")
    try:
        read_checkpoint(path)
    except XferError as error:
        raise BadFile(f"{item.address} sent something that is not the file: {error}") from error
    records.write(place, digest, size, origin=item.address)
    return digest


def _expect_reachable(name: str, item: PublicFile) -> None:
    """Ask the host for anything at all, in a thread because looking up its name cannot time out."""
    scheme, host, *_ = urllib.parse.urlsplit(item.address)
    answer = ["no answer"]

    def ask() -> None:
        try:
            urllib.request.urlopen(f"{scheme}://{host}/", timeout=REACHABLE_SECONDS / 2).close()
            answer[0] = ""
        except urllib.error.HTTPError:
            answer[0] = ""  # it refuses this page, and so is there
        except (OSError, http.client.HTTPException) as error:
            answer[0] = str(getattr(error, "reason", error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACHABLE_SECONDS)
    if answer[0]:
        raise MissingFile(_by_hand(name, item, f"{host} cannot be reached: {answer[0]}"))


def _by_hand(name: str, item: PublicFile, why: str) -> str:
    return (
        f"{name} could not be fetched ({why}).\nWhere there is a network, fetch it from\n"
        f"  {item.address}\n(described at {item.page}), put it here as\n  {registry.place(name)}\n"
        f"and check it with\n  xfer weights verify {name}"
    )
