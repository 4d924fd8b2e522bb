"""Where traces come from: files, the hub, and labelled synthetic stand-ins."""
