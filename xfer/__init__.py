"""Pose and facial-expression transfer between face portraits in the latent space of StyleGAN2."""

__version__ = "0.1.0"
