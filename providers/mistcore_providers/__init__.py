"""The providers of this repository: one module each, nothing but plugins."""
