"""Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al. 2016), replicated."""
