"""The version, for modules that may not import the package that imports them."""

__version__ = "0.1.0"
