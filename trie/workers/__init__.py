"""One run replayed by several workers: each has a share of its sessions and an event loop of its own."""
