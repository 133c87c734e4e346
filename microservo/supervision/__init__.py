"""The processes of this machine: started, watched, restarted, stopped; and a fence for uploaded code."""
