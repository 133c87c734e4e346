"""What a dataset is, without files: manifest, content hash, order of rows, ledger identity, dataset card."""
