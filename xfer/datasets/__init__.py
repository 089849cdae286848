"""Prepared clips read back: frames, pairs, and their endless order.

Every source answers `at(positions)`: what stands at these places of its endless order, a pure
function of its seed. So a run goes on exactly by remembering one number.

layout.py   names of files
clips.py    `Clips`: random access to prepared frames and what is known of them
sources.py  `Frames`, `SamePersonPairs`, `CrossPersonPairs` over prepared clips
world.py    the same three, rendered on the fly from the face world
batches.py  `Batches`: batch after batch, read ahead by workers, resumable
"""
