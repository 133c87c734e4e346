"""Other engines at the lesser task, a windowed count of the same records; each a process of its own."""
