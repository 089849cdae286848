"""Where pose, expression and identity live in a model's codes.

factors.py      the world's factors as codes are asked for them
codes.py        the codes of known pictures, from the picture to style space
probes.py       what each code and each layer knows, and how its numbers are laid out
swaps.py        what each layer does to pictures
directions.py   directions found in W by others' methods, and what edits along them cost
leakage.py      what codes know that they should not
angles.py       how far apart motion and identity lie as spaces of latents
findings.py     what the tables say, in words
keeping.py      tables kept as a record, with what they were made with

Pictures are measured by judging instruments only.
"""
