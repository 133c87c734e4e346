"""A target system of real processes on this machine."""
