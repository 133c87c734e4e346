"""The processes of this machine: started, watched, restarted, stopped."""
