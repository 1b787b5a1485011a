"""Files, images, downloads, checkpoints, provenance: what the paper's modules stand on."""
