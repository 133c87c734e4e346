"""Where target systems live: which instances there are, and how faults are put in force on them."""
