"""Training data: the index of aligned clips, clips out of the generator, clips out of videos."""
