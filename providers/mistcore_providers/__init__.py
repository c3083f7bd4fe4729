"""The providers of this repository: one module each, nothing but plugins."""

import logging

# What is logged is for the program around this; where it handles none of it, nothing may reach the terminal.
logging.getLogger(__name__).addHandler(logging.NullHandler())
