"""The version of both packages."""

__version__ = "2.0.0"
