"""The numbered notebooks: run them in order, and one page that shows what they gave."""

from xfer.notebooks.page import write_page
from xfer.notebooks.runner import (
    METRICS,
    Outcome,
    choose,
    convert,
    find_notebooks,
    parse_settings,
    plan,
    read_parameters,
    run_notebook,
    run_notebooks,
)

__all__ = [
    "METRICS",
    "Outcome",
    "choose",
    "convert",
    "find_notebooks",
    "parse_settings",
    "plan",
    "read_parameters",
    "run_notebook",
    "run_notebooks",
    "write_page",
]
