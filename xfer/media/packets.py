"""Media files opened safely, and their packets on one clock for picture and sound."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet

from xfer.errors import BadFile, MissingFile
from xfer.media.images import exists

# Containers only: a playlist could make FFmpeg read other files or the network.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,gif,"
    "h264,hevc,ivf,mxf,dv,m4v,rm,nut,yuv4mpegpipe,wav,w64,mp3,flac,aac,aiff,caf"
)
OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
MOST_ERRORS_IN_A_ROW = 200
"""A file may give nothing but errors, without end."""
STREAMED = ("mpegts", "mpeg", "flv", "live_flv", "asf")
"""Containers that are recorded on the fly, or joined end to end: their clock may begin anew."""


def open_container(path: str | Path) -> InputContainer:
    """FFmpeg's view of a media file, which runs nothing and reads no other file."""
    if not exists(path):
        raise MissingFile(f"there is no video {path}")
    try:
        # Without "file:" a name with a colon would be taken for an address.
        return av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadFile(f"{path} is no video, or a damaged one: {words(error)}") from error


def words(error: Any) -> str:
    """What FFmpeg says went wrong, without its numbers."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def decoded(
    container: InputContainer,
    stream: Any,
    *others: Any,
    decode: Callable[[Packet], list] = Packet.decode,
    damaged: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Packet, list]]:
    """A stream's packets, each with its frames; packets that cannot be decoded are left out.

    A file that gives nothing but errors, and may do so without end, ends after many in a row.

    Args:
        others: Streams that share its clock.
        damaged: Called for each packet that is left out.
    """
    clock, errors = _Clock(container.format.name), 0
    streams = [s for s in (stream, *others) if s.codec_context is not None]
    demuxed = container.demux(*streams)
    while errors < MOST_ERRORS_IN_A_ROW:
        try:
            packet = next(demuxed, None)
            if packet is None:
                return
            clock.correct(packet)
            frames = decode(packet) if packet.stream_index == stream.index else []
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError):
            errors, demuxed = errors + 1, container.demux(*streams)
            damaged()
            continue
        errors = 0
        if packet.stream_index == stream.index:
            yield packet, frames


class _Clock:
    """One clock for picture and sound where a file's own steps back or leaps.

    A leap begins an epoch with a shift of its own, which every stream takes on when it leaps too.
    """

    def __init__(self, container: str):
        self._counts = container == "avi"
        self._longest_pause = 1.5 if container in STREAMED else 10.0
        self._shifts, self._epochs, self._ends = [0.0], dict[int, int](), dict[int, float]()

    def correct(self, packet: Packet) -> None:
        """Move a packet's stamps onto the clock."""
        if self._counts and packet.dts is not None:
            packet.pts = packet.dts  # AVI counts; FFmpeg adds the decoder's delay
        stamp = packet.pts if packet.dts is None else packet.dts
        if stamp is None or not packet.time_base:
            return
        unit, index = float(packet.time_base), packet.stream_index
        time, lasts = stamp * unit, (packet.duration or 0) * unit
        epoch = self._epochs.get(index, len(self._shifts) - 1)
        if index in self._ends:
            newest = max(self._ends.values())
            earliest = self._ends[index] - max(0.3, 6 * min(lasts, 0.5))
            latest = newest + self._longest_pause
            while not earliest <= time + self._shifts[epoch] <= latest:
                epoch += 1
                if epoch == len(self._shifts):
                    self._shifts.append(newest - time)
                    break
        self._epochs[index] = epoch
        self._ends[index] = time + self._shifts[epoch] + lasts
        if ticks := round(self._shifts[epoch] / unit):
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
