"""Recordings of others, read into rows and faults; each format in a module of its own."""
