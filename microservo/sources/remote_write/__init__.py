"""What Prometheus sends of itself: a receiver of its remote write, versions 1.0 and 2.0."""
