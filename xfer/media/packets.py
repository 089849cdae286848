"""Packets of damaged files: what can be read of them is read, and the rest is passed over."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import av
from av.packet import Packet

Taken = TypeVar("Taken")

MOST_ERRORS_IN_A_ROW = 200


def each_packet(
    demux: Callable[[], Iterator[Packet]],
    take: Callable[[Packet], list[Taken]],
    damaged: Callable[[], None] = lambda: None,
) -> Iterator[list[Taken]]:
    """What is made of every packet of a stream, in order; damaged ones are left out.

    A file that gives nothing but errors, and may do so without end, ends after many in a row.

    Args:
        demux: Gives the stream's packets, from where it was left.
        take: Makes something of a packet; may fail as FFmpeg does.
        damaged: Called for each that is left out.
    """
    errors, packets = 0, demux()
    while errors < MOST_ERRORS_IN_A_ROW:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            taken = take(packet)
        except av.EOFError:
            return
        except (av.FFmpegError, ValueError):
            errors += 1
            damaged()
            packets = demux()
            continue
        errors = 0
        yield taken
