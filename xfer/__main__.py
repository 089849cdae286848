"""`python -m xfer`, the same as the command `xfer`."""

import sys

from xfer.cli import main

sys.exit(main())
