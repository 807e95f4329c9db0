"""Worlds: generators, classifiers and feature networks of other people or other images, fetched by package name."""
