"""Service discovery, pure: who is registered, who is given out, from where it is asked for."""
