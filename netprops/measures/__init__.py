"""Measures: arrays in, measurements and curves out; no file, no cache, no pytest."""
