"""
Runs a page of the documentation as a reader does: files from captioned code blocks, commands from console blocks.

``pages`` reads a page, ``files`` and ``terminals`` do what it says, ``lessons`` follows it from beginning to end.
"""
