"""Exporters of datasets: a module for each format of `microservo.domain.datasets.formats`."""
