"""Target systems: where their instances are (`local`), and how faults are put on them (`mechanisms`)."""
