"""Owns the hosts and containers of a target on this machine, for drivers in other processes."""
