"""Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al. 2016), replicated."""

import warnings

warnings.filterwarnings("ignore", "IProgress not found")  # pooch's bars want a widget; `progress` does without
