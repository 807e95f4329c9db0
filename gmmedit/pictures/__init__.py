"""Pictures: pixels, strips and contact sheets."""
