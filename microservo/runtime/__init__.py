"""What every process has: settings, logs, metrics, health, shutdown, the consuming loop, stamped writing.

Services and streams build on this package; it knows no service.
"""
