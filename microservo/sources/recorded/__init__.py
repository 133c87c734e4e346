"""A recording of others that was read into files of minutes, as a store of the past."""
