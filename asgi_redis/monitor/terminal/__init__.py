"""The live view of a layer in a terminal."""
