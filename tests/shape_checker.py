"""The run-time checker of signatures under pytest: beartype, an int passing for a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
