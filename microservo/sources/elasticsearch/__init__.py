"""Elasticsearch as a source: log lines and spans that others gathered there are followed."""
