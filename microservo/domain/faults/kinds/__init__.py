"""The kinds of faults that come with MicroServo, one per module; each registers itself."""
