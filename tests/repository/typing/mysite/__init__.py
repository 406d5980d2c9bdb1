"""A project with all that the README shows; mypy --strict checks it in ``test_typing.py``."""
