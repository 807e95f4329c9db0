"""Training of generators and classifiers."""
