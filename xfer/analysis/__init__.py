"""Where pose, expression and identity live in latent codes."""
