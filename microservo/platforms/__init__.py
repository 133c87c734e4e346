"""Where target systems run: which instances there are, and how faults are put in force on them."""
