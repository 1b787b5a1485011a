"""Files, images, downloads, checkpoints, provenance: the modules that those of the paper build on."""
