"""What several tests share: builders of rows, manifests and run directories, and small real servers and processes."""
