"""Where backends are kept."""
