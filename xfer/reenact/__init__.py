"""Drivers and identities in, pictures and videos out.

settings.py    what can be chosen
studio.py      a model opened for use, with what travels in its file
places.py      where a face is in its picture, and the square around it
following.py   the main face of a video, from frame to frame
drivers.py     pictures, videos and folders as frames with the place of their face
live.py        cameras, read once as their frames come
moments.py     frames to motions: through the motion encoder, or through landmarks
identities.py  photos, latents and seeds as people
placing.py     results alone, tilted, pasted back, compared
filming.py     the loop from driver to file
sheets.py      many drivers by many people
desk.py        one command's tools: what texts name, opened
checks.py      what is wrong with a command, said at once
command.py     `xfer transfer` and `xfer reenact` with the texts of a command line
"""
