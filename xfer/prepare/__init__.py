"""From people's videos and pictures to aligned clips: shards, one index, one line for every input.

sources.py    what there is to prepare, and who is who
walking.py    what lies below a source
sequences.py  numbered pictures: frames or portraits, and their order
frames.py     an input as frames
clip.py       one clip from its first frame to its part of a shard
cutting.py    its second half: the crops and their rows
worker.py     the child process that prepares one clip after another
pool.py       several of them, their limits and their deaths
shards.py     parts -> shards -> index
run.py        `prepare`: the whole job, resumable
locks.py      who may work on a folder beside whom
merge.py      `merge`: shares and preparations joined
"""

from xfer.prepare.records import Settings
from xfer.prepare.run import Summary, prepare

__all__ = ["Settings", "Summary", "prepare"]
