"""One family of errors: each says what is required, what came, and what to do.

Catch `XferError` for all of them. The command line prints the message without a traceback.
"""


class XferError(Exception):
    """Base of every error that xfer raises on purpose."""


class BadValue(XferError, ValueError):
    """An argument outside its range or of the wrong kind or shape."""


class BadFile(XferError):
    """A file that cannot be used: damaged, of another kind, or of another network."""


class MissingFile(XferError, FileNotFoundError):
    """A file or folder that is needed and is not there."""


class UnwritableFile(XferError, OSError):
    """A file or folder that is to be written and cannot be."""


class MissingPackage(XferError, ImportError):
    """An optional package that this feature needs and that is not installed."""


class NoFace(XferError):
    """An image or video in which no usable face was found."""


class RunError(XferError):
    """A run that cannot start or go on: folder in use, too many non-finite steps, out of memory."""


class Stopped(XferError):
    """A job that was requested to stop and has saved what it had; run again, it goes on."""
