"""Pose and facial-expression transfer between face portraits in the latent space of StyleGAN2."""

import os

__version__ = "0.1.0"

# OpenMP's threads wait for one another in a loop, by default so long that on a computer which does
# something else too they stand in each other's way: two threads on two cores, one of them busy,
# were forty times slower than alone. A hundredth of that wait costs nothing where all is idle. It
# is read when torch is loaded, so it holds for what imports xfer first, and for its children.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
