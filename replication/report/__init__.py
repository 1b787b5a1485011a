"""Profiles, figures, claims, summary: what makes the report out of the paper's modules."""
