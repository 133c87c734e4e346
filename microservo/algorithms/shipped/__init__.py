"""The algorithms that are shipped: a declaration `<kind>.toml` each, and code where a library has none.

The code runs beside any other plug-in's, inside the fence: it imports the standard library and itself only.
"""
