"""Files of `torch.save`, zipped (since 1.6) and older: vetted, then loaded with weights_only.

Vetting reads the structure with our own machine (see pickles.py), so that a damaged or hostile
file can neither name anything that is not on our list, nor make a tensor larger than the file,
nor unpack to more than it weighs; and it checks the checksums, which PyTorch does not.
"""

import zipfile
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import torch

from xfer.errors import BadFile
from xfer.files.allowed import NUMPY, PLAIN, STORAGE_TYPES, TORCH, Array, Kind, Storage
from xfer.files.pickles import read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def is_torch(start: bytes) -> bool:
    """Does a file that starts so come from `torch.save`?"""
    return start[:4] == b"PK\x03\x04" or start[:15] == LEGACY_START


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds. Objects with attributes come as dictionaries."""
    if zipfile.is_zipfile(path):
        vet_zip(path)
        return _load(path)
    with open(path, "rb") as file:
        return load_legacy(file)


def vet_zip(path: Path) -> None:
    """Raise `BadFile` unless every record is whole, not compressed, and used within its bounds."""
    with zipfile.ZipFile(path) as archive:
        records = {entry.filename: entry for entry in archive.infolist()}
        if len(records) < len(archive.infolist()):
            raise BadFile("a zip file with two records of one name: refused")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in records.values()):
            raise BadFile("a PyTorch file with compressed records, which PyTorch does not write")
        if sum(entry.file_size for entry in records.values()) > path.stat().st_size:
            raise BadFile("a zip file that says it holds more than it weighs: refused")
        if damaged := archive.testzip():
            raise BadFile(f"damaged: the checksum of {damaged} is wrong; fetch or copy it again")
        root = next((n for n in records if n.endswith("data.pkl")), None)
        if root is None:
            raise BadFile("a zip file, and not one of PyTorch: it holds no data.pkl")

        def storage(reference: Any) -> Storage:
            found = _storage(reference)
            record = records[f"{root.removesuffix('data.pkl')}data/{reference[2]}"]
            if found.size > record.file_size:
                raise BadFile(f"storage {reference[2]} is shorter than its tensors: damaged")
            return found

        read_pickle(BytesIO(archive.read(root)), TORCH, storage)


def load_legacy(file: BufferedIOBase) -> Any:
    """A stream of PyTorch before 1.6: three small pickles, the object, then the storages.

    A lone storage comes as our `Storage`.
    """
    start = file.tell()
    room = file.seek(0, 2) - start
    file.seek(start)
    if read_pickle(file, {}) != LEGACY_MAGIC:
        raise BadFile("tensor bytes that are no PyTorch file: refused")
    read_pickle(file, {})  # version
    read_pickle(file, {})  # machine

    def storage(reference: Any) -> Storage:
        found = _storage(reference)
        if found.size > room:
            raise BadFile("a storage larger than its file: damaged or cut short")
        return found

    read_pickle(file, TORCH, storage)
    file.seek(start)
    loaded = _load(file)
    if isinstance(loaded, torch.storage.TypedStorage):
        # The public way to the bytes warns that this old kind of storage will go.
        values = torch.empty(0, dtype=loaded.dtype).set_(loaded._untyped_storage)
        return Storage(values.dtype, values.numel(), values)
    return loaded


def _storage(reference: Any) -> Storage:
    word, kind, _, _, length = reference[:5]
    if word != "storage" or kind not in STORAGE_TYPES or not isinstance(length, int) or length < 0:
        raise BadFile("a reference to something that is no tensor storage: refused")
    return Storage(STORAGE_TYPES[kind], length)


def _load(source: Path | BufferedIOBase) -> Any:
    known = ("torch.", "builtins.", "collections.OrderedDict")  # to PyTorch itself
    stand_ins = [
        (made, name) for name, made in (PLAIN | NUMPY).items() if not name.startswith(known)
    ]
    with torch.serialization.safe_globals([*stand_ins, (Kind, "Kind"), (Array, "Array")]):
        return torch.load(source, map_location="cpu", weights_only=True)
