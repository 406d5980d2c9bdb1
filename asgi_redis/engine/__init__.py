"""Carries out the calls of layers, on Redis and on other stores."""
