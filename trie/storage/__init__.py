"""What lies on disk: rows, run directories, sweep directories, manifests."""
